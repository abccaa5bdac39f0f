"""A vision tower and its head, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ensembler.store.model import Frozen
from predictors.shared.heads import HeadConfig

# projected: the model's own output; of a CLIP tower, the embedding that texts are compared with.
# pooled: what the model's last layer is given.
# cls: the class token. mean, gem: of the patches (a convolutional tower's places), gem with p.
# cls+mean: both, side by side.
Features = Literal["projected", "pooled", "cls", "mean", "cls+mean", "gem"]
Resize = Literal["crop", "squash"]
Colour = tuple[float, float, float]


class TowerConfig(Frozen):
    """Any timm vision model, the features taken from it, and the head on them.

    What is None is the model's own, as timm records it for the pretrained tag.
    """

    model: str  # as timm names it, with the pretrained tag where it has several
    features: Features = "pooled"
    gem_power: float = Field(default=3.0, gt=0.0)  # the p of gem
    head: HeadConfig = HeadConfig(kind="linear", dim=384)
    normalise_output: bool = False  # vectors of unit length
    image_size: int | None = Field(default=None, ge=1)  # position embeddings are interpolated to it
    # Steps of a patch kernel larger than the kernel: a larger image on the same grid, the position
    # embeddings as they are. image_size must say the size.
    stride: int | None = Field(default=None, ge=1)
    keep_gelu: bool = False  # published with QuickGELU, these weights were fine-tuned with GELU
    mean: Colour | None = None
    std: Colour | None = None
    resize: Resize | None = None
    crop_pct: float | None = Field(default=None, gt=0.0, le=1.0)
