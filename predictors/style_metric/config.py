"""The config of a CLIP tower, a ConvNeXt beside it, and the head on both."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from predictors.shared.heads import HEAD, HeadConfig
from predictors.shared.tower_config import MODEL, TowerConfig


class StyleMetricConfig(TowerConfig):
    """A CLIP tower with GeM pooling, the ConvNeXt beside it, and the head on both.

    Both see the same image, at the size of the CLIP tower, each with its own colour normalisation.
    """

    model: str = Field(default="vit_large_patch14_clip_quickgelu_224.openai", description=MODEL)
    features: Literal["gem"] = Field(default="gem", description="of the CLIP tower")
    gem_power: float = Field(default=2.0, gt=0.0, description="the p of gem")
    style_model: str = Field(
        default="convnext_base.fb_in22k_ft_in1k_384",
        description="whose Gram features are added",
    )
    head: HeadConfig = Field(
        default=HeadConfig(kind="mlp", dim=384, hidden=(4096, 4096, 4096, 4096)), description=HEAD
    )
