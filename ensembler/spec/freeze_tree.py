"""From a blend's numbers to a tree of nodes and its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.blends.contract import Blend
from ensembler.blends.gains import GainsBlend
from ensembler.blends.gated import GatedBlend
from ensembler.blends.kernel import KernelBlend
from ensembler.blends.linear import LinearBlend
from ensembler.blends.tree import TreeBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import SpecError
from ensembler.spec.composed import (
    ROOT,
    GainsNode,
    GatedNode,
    KernelNode,
    LinearNode,
    Node,
    Part,
    Scaled,
    TreeNode,
    WeightedNode,
)
from ensembler.spec.freeze import round_number
from ensembler.spec.tensors import Tensors

_P = TypeVar("_P")
Arrays = dict[str, NDArray[Any]]  # by the path of their place; what the tree leaves out


class FrozenTree(NamedTuple):
    """A blend in two parts.

    Attributes:
        tree: its shape, names and single numbers, to nine digits.
        tensors: its arrays, in float32.
    """

    tree: Node
    tensors: Tensors


def freeze_tree(blend: Blend) -> FrozenTree:
    """Take a blend apart; `thaw_tree` puts it together again.

    Args:
        blend: of any kind in `ensembler.blends`.

    Raises:
        SpecError: it is, or stands on, a blend of another kind.
    """
    arrays: Arrays = {}
    tree = _node(blend, ROOT, arrays)
    return FrozenTree(tree, Tensors.pack(arrays))


def _node(blend: Blend, place: str, arrays: Arrays) -> Node:
    match blend:
        case WeightedBlend():
            members, numbers = _used(blend.members, blend.numbers)
            return WeightedNode(**_sum(members, numbers, place, arrays))
        case GatedBlend():  # a member of weight 0 has a vote
            return GatedNode(
                **_sum(blend.members, blend.numbers, place, arrays),
                agreement=round_number(blend.agreement),
            )
        case GainsBlend():
            arrays[f"{place}.gains"] = blend.gains
            if blend.basis is not None:
                arrays[f"{place}.basis"] = blend.basis
            return GainsNode(
                base=_node(blend.base, f"{place}.base", arrays),
                basis="coordinates" if blend.basis is None else "directions",
                prior=round_number(blend.prior),
            )
        case LinearBlend():
            arrays[f"{place}.maps"] = blend.maps
            if blend.means is not None:
                arrays[f"{place}.means"] = blend.means
            base = blend.base
            return LinearNode(
                base=None if base is None else _node(base, f"{place}.base", arrays),
                scale=round_number(blend.scale),
                centred=blend.means is not None,
                members=tuple(
                    Scaled(name=name, alpha=round_number(alpha))
                    for name, alpha in zip(blend.mapped, blend.alphas, strict=True)
                ),
            )
        case KernelBlend():
            arrays[f"{place}.landmarks"] = blend.landmarks
            arrays[f"{place}.coefficients"] = blend.coefficients
            return KernelNode(
                base=_node(blend.base, f"{place}.base", arrays),
                scale=round_number(blend.scale),
                width=round_number(blend.width),
                landmarks=len(blend.landmarks),
            )
        case TreeBlend():
            children, numbers = _used(blend.children, blend.numbers)
            return TreeNode(
                **_sum([name for name, _ in children], numbers, place, arrays),
                children=tuple(
                    _node(child, f"{place}.children.{number}", arrays)
                    for number, (_, child) in enumerate(children)
                ),
            )
    raise SpecError(
        f"a spec has no place for a blend of kind {type(blend).__name__}; freeze one of a blender"
        " that this package brings"
    )


def _sum(names: Sequence[str], numbers: WeightedSum, place: str, arrays: Arrays) -> dict[str, Any]:
    """The fields that all weighted sums share."""
    if numbers.means is not None:
        arrays[f"{place}.means"] = numbers.means
    parts = zip(names, numbers.weights, numbers.alphas, strict=True)
    return {
        "prior": round_number(numbers.prior_weight),
        "centred": numbers.means is not None,
        "members": tuple(
            Part(name=n, weight=round_number(w), alpha=round_number(a)) for n, w, a in parts
        ),
    }


def _used(parts: Sequence[_P], numbers: WeightedSum) -> tuple[Sequence[_P], WeightedSum]:
    """The members or children that have weight once it is rounded, and their numbers."""
    used = [m for m, weight in enumerate(numbers.weights) if round_number(weight) != 0.0]
    return [parts[m] for m in used], WeightedSum(
        prior_weight=numbers.prior_weight,
        weights=numbers.weights[used],
        alphas=numbers.alphas[used],
        means=None if numbers.means is None else numbers.means[used],
    )
