"""ConvNeXt towers, mainly CLIP's large and xxlarge ones: the projected embedding and a head."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.shared.tower_config import FEATURES, MODEL, Features, TowerConfig
from predictors.tower.adapter import VisionTower


class ConvNeXtConfig(TowerConfig):
    """The config of a tower that timm names convnext…; `mean` gives the trunk's features."""

    model: str = Field(
        default="convnext_large_mlp.clip_laion2b_ft_soup_320",
        pattern="^convnext",
        description=MODEL,
    )
    features: Features = Field(default="projected", description=FEATURES)
    image_size: int | None = Field(default=384, ge=1, description="of the square image, in pixels")


class ConvNeXt(VisionTower):
    """ConvNeXt towers, at any image size, with a head."""

    Config: ClassVar[type[Frozen]] = ConvNeXtConfig
