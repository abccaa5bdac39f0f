"""CLIP's vision transformers: the projected embedding and a head on it.

There are two ways to give it larger images than CLIP saw: `image_size` alone interpolates the
position embeddings to a finer grid; `image_size` with `stride` keeps grid and kernels and raises
the kernels' stride (336 pixels at stride 21 on the 16×16 grid of a ViT-L/14, as in the 5th place).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.shared.tower_config import FEATURES, MODEL, Features, TowerConfig
from predictors.tower.adapter import VisionTower


class ClipViTConfig(TowerConfig):
    """The config of a tower that timm names vit_…_clip_…."""

    model: str = Field(
        default="vit_large_patch14_clip_quickgelu_336.openai",
        pattern="^vit_.*clip",
        description=MODEL,
    )
    features: Features = Field(default="projected", description=FEATURES)


class ClipViT(VisionTower):
    """CLIP's vision transformers, at any image size, with a head."""

    Config: ClassVar[type[Frozen]] = ClipViTConfig
