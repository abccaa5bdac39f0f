"""From a frozen blend back to its numbers, ready to be applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.blends.contract import Blend
from ensembler.blends.gains import GainsBlend
from ensembler.blends.gated import GatedBlend
from ensembler.blends.kernel import KernelBlend
from ensembler.blends.linear import LinearBlend
from ensembler.blends.tree import TreeBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import first_few
from ensembler.spec.composed import (
    ROOT,
    ComposedSpec,
    GainsNode,
    GatedNode,
    KernelNode,
    LinearNode,
    Node,
    Sum,
    TreeNode,
    WeightedNode,
)
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.spec.tensors import Tensors
from ensembler.spec.weighted import WeightedSpec


def thaw(spec: EnsembleSpec) -> Blend:
    """Thaw the blend of a spec.

    Raises:
        ValueError: as `thaw_blend`; never for a spec that was loaded or sealed.
    """
    return thaw_blend(spec.blend, spec.tensors, spec.dim)


def thaw_blend(blend: WeightedSpec | ComposedSpec, tensors: Tensors | None, dim: int) -> Blend:
    """Thaw a frozen blend, its arrays in place.

    Args:
        blend: of any kind.
        tensors: a composed one's.
        dim: numbers in a row.

    Raises:
        ValueError: tensors are missing, too many, or of another shape than the tree wants.
    """
    if isinstance(blend, WeightedSpec):
        return thaw_weighted(blend)
    if tensors is None:
        raise ValueError("a composed blend comes with tensors: `load_spec` reads both")
    return thaw_tree(blend.tree, tensors, dim)


def thaw_weighted(blend: WeightedSpec) -> WeightedBlend:
    """Thaw a blend of plain weights."""
    means = [decode_vector(member.mean) for member in blend.members if member.mean is not None]
    return WeightedBlend(
        members=tuple(member.name for member in blend.members),
        numbers=WeightedSum(
            prior_weight=blend.prior.weight,
            weights=np.array([member.weight for member in blend.members]),
            alphas=np.array([member.alpha for member in blend.members]),
            means=np.stack(means) if means else None,
        ),
    )


def thaw_tree(tree: Node, tensors: Tensors, dim: int) -> Blend:
    """Thaw a tree, its arrays in place.

    Raises:
        ValueError: as `thaw_blend`.
    """
    untaken = dict(tensors.arrays)
    blend = _Thawing(untaken, dim).blend(tree, ROOT)
    if untaken:
        raise ValueError(f"the tree has no place for tensor {first_few(sorted(untaken))}")
    return blend


@dataclass(frozen=True, slots=True)
class _Thawing:
    untaken: dict[str, NDArray[np.float32]]  # tensors that no node has used yet
    dim: int

    def blend(self, node: Node, place: str) -> Blend:
        match node:
            case WeightedNode():
                return WeightedBlend(members=_names(node), numbers=self._sum(node, place))
            case GatedNode():
                return GatedBlend(
                    members=_names(node),
                    numbers=self._sum(node, place),
                    agreement=node.agreement,
                )
            case GainsNode():
                principal = node.basis == "directions"
                return GainsBlend(
                    base=self.blend(node.base, f"{place}.base"),
                    basis=self._take(f"{place}.basis", self.dim, self.dim) if principal else None,
                    gains=self._take(f"{place}.gains", self.dim),
                    prior=node.prior,
                )
            case LinearNode():
                count, names = len(node.members), tuple(member.name for member in node.members)
                base = None if node.base is None else self.blend(node.base, f"{place}.base")
                return LinearBlend(
                    base=base,
                    mapped=names,
                    alphas=np.array([member.alpha for member in node.members]),
                    means=self._take(f"{place}.means", count, self.dim) if node.centred else None,
                    scale=node.scale,
                    maps=self._take(f"{place}.maps", count, self.dim, self.dim),
                )
            case KernelNode():
                return KernelBlend(
                    base=self.blend(node.base, f"{place}.base"),
                    landmarks=self._take(f"{place}.landmarks", node.landmarks, self.dim),
                    coefficients=self._take(f"{place}.coefficients", node.landmarks, self.dim),
                    width=node.width,
                    scale=node.scale,
                )
            case TreeNode():
                children = (
                    self.blend(child, f"{place}.children.{number}")
                    for number, child in enumerate(node.children)
                )
                return TreeBlend(
                    children=tuple(zip(_names(node), children, strict=True)),
                    numbers=self._sum(node, place),
                )

    def _sum(self, node: Sum, place: str) -> WeightedSum:
        parts = node.members
        return WeightedSum(
            prior_weight=node.prior,
            weights=np.array([part.weight for part in parts]),
            alphas=np.array([part.alpha for part in parts]),
            means=self._take(f"{place}.means", len(parts), self.dim) if node.centred else None,
        )

    def _take(self, name: str, *shape: int) -> NDArray[np.float32]:
        tensor = self.untaken.pop(name, None)
        if tensor is None:
            raise ValueError(f"there is no tensor {name!r}")
        if tensor.shape != shape:
            raise ValueError(f"tensor {name!r} has the shape {tensor.shape} instead of {shape}")
        return tensor


def _names(node: Sum) -> tuple[str, ...]:
    return tuple(part.name for part in node.members)
