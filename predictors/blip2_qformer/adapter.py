"""The adapter `blip2_qformer`: BLIP-2's input to its language model, with a head on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ensembler.errors import PredictorError
from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.blip2_qformer.config import Blip2QFormerConfig

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.shared.embedding import TowerPredictor


class Blip2QFormer:
    """BLIP-2's vision tower and Q-Former, without its language model, and a head on them."""

    Config: ClassVar[type[Frozen]] = Blip2QFormerConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "model": Role(
            "a transformers folder of BLIP-2 with its image processor; its weights are used unless"
            " others are given, those of the language model never"
        ),
        "weights": Role(
            "the weights of tower and head, .safetensors or .pt; a head needs them", False
        ),
    }
    needs: ClassVar[tuple[str, ...]] = ("safetensors", "torch", "transformers")
    install: ClassVar[str] = "oof-ensembler[captioners]"

    @classmethod
    def load(
        cls, config: Blip2QFormerConfig, files: Mapping[str, Path], *, device: str
    ) -> TowerPredictor:
        """Load the tower and its head.

        Args:
            config: this adapter's config.
            files: `model`, and `weights` where the tower was trained further or has a head.
            device: a torch device name.

        Raises:
            PredictorError: the folder holds another kind of model, or the weights are not exactly
                those of tower and head.
        """
        from predictors.blip2_qformer.model import Blip2QFormerModel, read_tower
        from predictors.shared.embedding import TowerPredictor
        from predictors.shared.weights import load_strictly, load_weights

        folder, weights = files["model"], files.get("weights")
        if weights is None and config.head.kind != "none":
            raise PredictorError(
                f"the config has a head of kind {config.head.kind!r}, but {folder} holds none: give"
                ' the checkpoint that training wrote as weights, or set head = {kind = "none"}'
            )
        model = Blip2QFormerModel(config, folder)
        if weights is None:
            load_strictly(model.tower, read_tower(folder), folder)
        else:
            load_strictly(model, load_weights(weights), weights)
        return TowerPredictor(model.eval().requires_grad_(False), device)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train vision tower, Q-Former and head; see `Trainable.train`."""
        from predictors.blip2_qformer.train import train

        return train(job)
