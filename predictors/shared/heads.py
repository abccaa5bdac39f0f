"""Heads: the layers that turn a tower's features into the vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from ensembler.frozen import Frozen

if TYPE_CHECKING:
    import torch


HEAD: Final = "the layers from the features to the vector"
UNIT: Final = "vectors of unit length"


class HeadConfig(Frozen):
    """A head's layers; `in` below is the width of the features.

    none: the features are the vector.
    linear: in → dim without a bias.
    wide: in → hidden, BatchNorm, ReLU → dim.
    mlp: in → hidden, GELU → … → dim, one layer for each hidden width.
    """

    kind: Literal["none", "linear", "wide", "mlp"] = Field(
        description="none: the features are the vector; linear: without a bias; wide: one hidden"
        " layer with BatchNorm and ReLU; mlp: hidden layers with GELU"
    )
    dim: int | None = Field(default=None, ge=1, description="vector dimension")
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="widths between features and vector"
    )

    @model_validator(mode="after")
    def _whole(self) -> HeadConfig:
        if self.kind == "none" and self.dim is not None:
            raise ValueError("a head of kind 'none' leaves the features as they are: remove dim")
        if self.kind != "none" and self.dim is None:
            raise ValueError(f"a head of kind {self.kind!r} needs dim, the vector dimension")
        layers = len(self.hidden)
        if layers != {"none": 0, "linear": 0, "wide": 1}.get(self.kind, max(layers, 1)):
            raise ValueError(
                f"a head of kind {self.kind!r} does not take {layers} hidden widths: wide takes"
                " one, mlp one for each of its layers, the others none"
            )
        return self


def make_head(config: HeadConfig, width: int) -> torch.nn.Module:
    """Build a head, newly initialised; its tensors are named `head.*` in a checkpoint.

    A linear head starts from Xavier's uniform distribution, the others as torch's layers do.

    Args:
        config: the head's layers.
        width: width of the features.

    Returns:
        A module from (n, width) to (n, dim or width).
    """
    from torch import nn

    if config.dim is None:
        return nn.Identity()
    if config.kind == "linear":
        linear = nn.Linear(width, config.dim, bias=False)
        nn.init.xavier_uniform_(linear.weight)
        return linear
    layers: list[nn.Module] = []
    for hidden in config.hidden:
        layers.append(nn.Linear(width, hidden))
        layers += [nn.BatchNorm1d(hidden), nn.ReLU()] if config.kind == "wide" else [nn.GELU()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, config.dim))
