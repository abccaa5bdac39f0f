"""A composed blend as indented lines, each part below the blend that contains it."""

from __future__ import annotations

from collections.abc import Iterator

from ensembler.spec.composed import (
    GainsNode,
    GatedNode,
    KernelNode,
    LinearNode,
    Node,
    Part,
    Sum,
    TreeNode,
    WeightedNode,
)

STEP = "  "  # the indent of a part below its blend


def tree_lines(node: Node, indent: str = "") -> Iterator[str]:
    """The kind and scalar settings of a node, then its parts.

    Args:
        node: the outermost node.
        indent: the beginning of every line.
    """
    inner = indent + STEP
    match node:
        case WeightedNode():
            yield f"{indent}weighted sum{_centred(node.centred)}"
            yield from _parts(node, inner)
        case GatedNode():
            yield (
                f"{indent}weighted sum{_centred(node.centred)}, gated by agreement"
                f" ({node.agreement:.3g})"
            )
            yield from _parts(node, inner)
        case GainsNode():
            of = "coordinate" if node.basis == "coordinates" else "direction"
            yield f"{indent}a gain for each {of} of"
            yield from tree_lines(node.base, inner)
        case LinearNode():
            count = len(node.members)
            yield f"{indent}linear map of {count} members{_centred(node.centred)}"
            what = " the prior (constant)" if node.base is None else ""
            yield f"{indent}added to {node.scale:.4f} times{what}"
            if node.base is not None:
                yield from tree_lines(node.base, inner)
        case KernelNode():
            yield f"{indent}smooth function of {node.landmarks} landmarks (width {node.width:.3g})"
            yield f"{indent}added to {node.scale:.4f} times"
            yield from tree_lines(node.base, inner)
        case TreeNode():
            yield f"{indent}weighted sum of blends{_centred(node.centred)}"
            yield from _prior(node, inner)
            for part, child in zip(node.members, node.children, strict=True):
                yield _part(part, inner)
                yield from tree_lines(child, inner + STEP)


def _parts(node: Sum, indent: str) -> Iterator[str]:
    yield from _prior(node, indent)
    yield from (_part(part, indent) for part in node.members)


def _prior(node: Sum, indent: str) -> Iterator[str]:
    if node.prior != 0.0:
        yield f"{indent}{node.prior:9.6f}  prior (constant)"


def _part(part: Part, indent: str) -> str:
    norm = "" if part.alpha == 0.0 else f" · ‖x‖^{-part.alpha:.3g}"
    return f"{indent}{part.weight:9.6f}  {part.name}{norm}"


def _centred(centred: bool) -> str:
    return ", each less its mean" if centred else ""
