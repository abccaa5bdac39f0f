"""The adapter `style_metric`: CLIP's pooled patches beside a ConvNeXt's style features.

It follows qcqced123's style extractor (248th place): ViT-L/14 and ConvNeXt-Base give 1024 + 1920 =
2944 features, which an MLP turns into the vector. The 1920 are the widths of the ConvNeXt's four
stages, one number per channel; that this is the mean of the channel's Gram row is our
interpretation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.style_metric.config import StyleMetricConfig

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.shared.embedding import TowerPredictor


class StyleMetric:
    """A CLIP tower joined with a frozen ConvNeXt's Gram features, and an MLP on both."""

    Config: ClassVar[type[Frozen]] = StyleMetricConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "weights": Role("the weights of CLIP tower and head (.safetensors or .pt)"),
        "style": Role("the frozen ConvNeXt's weights, a checkpoint of timm; all folds share it"),
    }
    needs: ClassVar[tuple[str, ...]] = ("timm", "torch", "safetensors")
    install: ClassVar[str] = "oof-ensembler[towers]"

    @classmethod
    def load(
        cls, config: StyleMetricConfig, files: Mapping[str, Path], *, device: str
    ) -> TowerPredictor:
        """Load both towers and the head.

        Args:
            config: this adapter's config.
            files: `weights` and `style`.
            device: a torch device name.

        Raises:
            PredictorError: timm does not know a model's name, or a file does not hold exactly its
                weights.
        """
        from predictors.shared.embedding import TowerPredictor
        from predictors.style_metric.model import load_style_metric

        model = load_style_metric(config, weights=files["weights"], style=files["style"])
        return TowerPredictor(model, device)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train CLIP tower and head; see `Trainable.train`."""
        from predictors.style_metric.train import train

        return train(job)
