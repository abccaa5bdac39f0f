"""A frozen blend that is more than weights: a tree of nodes, their arrays in a sidecar.

A node is a blend of `ensembler.blends` without its arrays. Those are tensors of the sidecar, each
under the path of its place: `tree.base.gains`, `tree.children.0.maps`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from ensembler.frozen import Frozen, Sha256
from ensembler.spec.numbers import Alpha, Weight
from ensembler.spec.weighted import WeightedSpec

ROOT: Final = "tree"  # the place of the outermost node, where every tensor's name begins


class Scaled(Frozen):
    """A member, or the child of a tree, and the exponent of its norm."""

    name: str  # a member's is one of the fallback's; a child's is any
    alpha: Alpha


class Part(Scaled):
    """A member or child with the exponent of its norm and its weight in a sum."""

    weight: Weight


class Sum(Frozen):
    """`prior · p + Σ weight · x · ‖x‖^-alpha`, the tensor `means` (M, d) taken off when centred."""

    prior: Weight
    centred: bool
    members: tuple[Part, ...]


class WeightedNode(Sum):
    """A blend of plain weights."""

    kind: Literal["weighted"] = "weighted"


class GatedNode(Sum):
    """Weights times gates: row by row, what agrees with the other members counts more."""

    kind: Literal["gated"] = "gated"
    agreement: Annotated[float, Field(ge=-300.0, le=300.0)]  # its exponential stays finite


class GainsNode(Frozen):
    """A gain for each coordinate or direction: tensors `gains` (d,) and `basis` (d, d)."""

    kind: Literal["gains"] = "gains"
    base: Node
    basis: Literal["coordinates", "directions"]
    prior: Weight  # the gain along the prior


class LinearNode(Frozen):
    """`scale` times the base and a map of each member: tensors `maps` (M, d, d) and `means`."""

    kind: Literal["linear"] = "linear"
    base: Node | None
    scale: Weight
    centred: bool
    members: Annotated[tuple[Scaled, ...], Field(min_length=1)]


class KernelNode(Frozen):
    """`scale` times the base and a smooth function of it: `landmarks` and `coefficients` (L, d)."""

    kind: Literal["kernel"] = "kernel"
    base: Node
    scale: Weight
    width: Annotated[float, Field(ge=0.0, le=300.0)]
    landmarks: Annotated[int, Field(ge=1)]  # L


class TreeNode(Sum):
    """Weights over the unit rows of other blends, which stand in the members' place."""

    kind: Literal["tree"] = "tree"
    children: tuple[Node, ...]  # in the order of `members`

    @model_validator(mode="after")
    def _consistent(self) -> TreeNode:
        if len(self.children) != len(self.members):
            raise ValueError(
                f"a tree has {len(self.members)} members for {len(self.children)} children"
            )
        return self


Node = Annotated[
    WeightedNode | GatedNode | GainsNode | LinearNode | KernelNode | TreeNode,
    Field(discriminator="kind"),
]
for recursive in (GainsNode, LinearNode, KernelNode, TreeNode):
    recursive.model_rebuild()


class ComposedSpec(Frozen):
    """A tree of blends; the same members in plain weights stand in when one is missing."""

    kind: Literal["composed"] = "composed"
    tree: Node
    fallback: WeightedSpec  # its members are the tree's, of weight 0 where it does not need them
    tensors: Sha256  # of the sidecar
