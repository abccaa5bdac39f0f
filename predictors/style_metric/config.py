"""A CLIP tower, a ConvNeXt beside it and the head on both, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from predictors.shared.heads import HeadConfig
from predictors.shared.tower_config import TowerConfig


class StyleMetricConfig(TowerConfig):
    """A CLIP tower with GeM pooling, the ConvNeXt beside it, and the head on both.

    Both see the same image, at the size of the CLIP tower, each with the colours it was trained on.
    """

    model: str = "vit_large_patch14_clip_quickgelu_224.openai"
    features: Literal["gem"] = "gem"
    gem_power: float = Field(default=2.0, gt=0.0)
    style_model: str = "convnext_base.fb_in22k_ft_in1k_384"  # as timm names it
    head: HeadConfig = HeadConfig(kind="mlp", dim=384, hidden=(4096, 4096, 4096, 4096))
