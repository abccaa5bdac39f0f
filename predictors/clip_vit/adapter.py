"""CLIP's vision transformers: the projected embedding and a head on it.

A larger image than CLIP saw comes in by either of two ways: `image_size` alone interpolates the
position embeddings to a finer grid; `image_size` with `stride` keeps grid and kernels and widens
the kernels' steps (336 pixels at stride 21 on the 16×16 grid of a ViT-L/14: the 5th place's way).
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ensembler.store.model import Frozen
from predictors.shared.tower_config import FEATURES, MODEL, Features, TowerConfig
from predictors.tower.adapter import VisionTower


class ClipViTConfig(TowerConfig):
    """A tower that timm names vit_…_clip_…."""

    model: str = Field(
        default="vit_large_patch14_clip_quickgelu_336.openai",
        pattern="^vit_.*clip",
        description=MODEL,
    )
    features: Features = Field(default="projected", description=FEATURES)


class ClipViT(VisionTower):
    """CLIP's vision transformers, at any image size, with a head."""

    Config: ClassVar[type[Frozen]] = ClipViTConfig
