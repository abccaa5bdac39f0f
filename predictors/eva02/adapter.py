"""EVA02 towers: the class token, alone or beside the mean of the patches, and a head on it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.shared.tower_config import FEATURES, MODEL, Features, TowerConfig
from predictors.tower.adapter import VisionTower


class Eva02Config(TowerConfig):
    """The config of a tower that timm names eva02_…; cls+mean is twice as wide as cls."""

    model: str = Field(
        default="eva02_large_patch14_448.mim_m38m_ft_in22k", pattern="^eva02", description=MODEL
    )
    features: Features = Field(default="cls+mean", description=FEATURES)


class Eva02(VisionTower):
    """EVA02 towers, by class token or class token and patches, with a head."""

    Config: ClassVar[type[Frozen]] = Eva02Config
