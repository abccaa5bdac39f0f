"""Any vision tower that timm names, with a head: a DINO, a Swin, a tower of CLIP.

The other towers' adapters are this one with a narrower config.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.shared.tower_config import TowerConfig

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.shared.embedding import TowerPredictor


class VisionTower:
    """A timm vision tower, its features and a head on them."""

    Config: ClassVar[type[Frozen]] = TowerConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "weights": Role(
            "the weights of tower and head (.safetensors or .pt); for a tower without a head, also"
            " a checkpoint of timm or open_clip"
        )
    }
    needs: ClassVar[tuple[str, ...]] = ("timm", "torch", "safetensors")
    install: ClassVar[str] = "oof-ensembler[towers]"

    @classmethod
    def load(cls, config: TowerConfig, files: Mapping[str, Path], *, device: str) -> TowerPredictor:
        """Load a tower; see `Adapter.load`."""
        from predictors.shared.embedding import TowerPredictor
        from predictors.shared.tower import load_tower

        return TowerPredictor(load_tower(config, files["weights"]), device)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train a tower; see `Trainable.train`."""
        from predictors.tower.train import train

        return train(job)
