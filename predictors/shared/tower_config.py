"""The config of a vision tower and its head."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.shared.heads import HEAD, UNIT, HeadConfig

Features = Literal["projected", "pooled", "cls", "mean", "cls+mean", "gem"]
Resize = Literal["crop", "squash"]
Colour = tuple[float, float, float]

MODEL: Final = "as timm names it, with the pretrained tag where it has several"
OWN: Final = "unset, the model's own"
FEATURES: Final = (
    "projected: the model's own output, of a CLIP tower the embedding that texts are compared with;"
    " pooled: what its last layer is given; cls: the class token; mean, gem: of the patches or a"
    " convolutional tower's places; cls+mean: both, side by side"
)


class TowerConfig(Frozen):
    """A timm vision model, the features taken from it, and the head on them.

    A field that is None takes the model's own value, as timm records it for the pretrained tag.
    """

    model: str = Field(description=MODEL)
    features: Features = Field(default="pooled", description=FEATURES)
    gem_power: float = Field(default=3.0, gt=0.0, description="the p of gem")
    head: HeadConfig = Field(default=HeadConfig(kind="linear", dim=384), description=HEAD)
    normalise_output: bool = Field(default=False, description=UNIT)
    image_size: int | None = Field(
        default=None, ge=1, description="position embeddings are interpolated to it"
    )
    stride: int | None = Field(
        default=None,
        ge=1,
        description="steps of a patch kernel larger than the kernel: a larger image, of image_size,"
        " on the same grid, the position embeddings as they are",
    )
    keep_gelu: bool = Field(
        default=False,
        description="published with QuickGELU, these weights were fine-tuned with GELU",
    )
    mean: Colour | None = Field(default=None, description=f"of colours from 0 to 1; {OWN}")
    std: Colour | None = Field(default=None, description=f"of colours from 0 to 1; {OWN}")
    resize: Resize | None = Field(
        default=None,
        description=f"crop: the shorter side, and the middle of it; squash: both sides; {OWN}",
    )
    crop_pct: float | None = Field(
        default=None, gt=0.0, le=1.0, description=f"how much of the middle crop keeps; {OWN}"
    )
