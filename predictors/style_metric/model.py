"""CLIP tower, frozen ConvNeXt and head as one module, and the loading of its weights."""

from __future__ import annotations

from pathlib import Path

import torch

from ensembler.errors import PredictorError
from ensembler.images.preprocess import Preprocess
from predictors.shared.attached import Attached
from predictors.shared.features import extract_features, feature_width
from predictors.shared.headed import Headed
from predictors.shared.tower import fill
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, convert_state, vision_preprocess
from predictors.shared.weights import load_strictly, load_weights
from predictors.style_metric.config import StyleMetricConfig
from predictors.style_metric.gram import gram_features


class StyleMetricModel(Headed):
    """Images → CLIP's patches pooled by GeM, and a ConvNeXt's Gram features → head → vectors.

    Its parameters and `state_dict` are those of the CLIP tower and the head: the ConvNeXt is never
    trained, and all folds share its file. Both towers see the same image, each with its own colour
    normalisation.

    Attributes:
        style: the ConvNeXt.
    """

    config: StyleMetricConfig

    def __init__(self, config: StyleMetricConfig) -> None:
        """Build the model, newly initialised.

        Raises:
            PredictorError: the config names an unknown model, or a style model without stages.
        """
        tower = build_vision(config)
        preprocess = vision_preprocess(tower, config)
        style = build_vision(_style_config(config))
        if not hasattr(style, "stages"):
            raise PredictorError(
                f"style_model {config.style_model!r} has no stages to take feature maps from: name"
                " a ConvNeXt"
            )
        channels = sum(stage["num_chs"] for stage in style.feature_info)
        width = feature_width(tower, config.features) + channels
        super().__init__(config, tower, width, preprocess)
        self.style = Attached(style)
        colours = vision_preprocess(style, _style_config(config))
        self._recolour = _recolouring(preprocess, colours)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute the features of both towers.

        Args:
            pixels: (n, 3, height, width) float, with mean and std of `preprocess`.

        Returns:
            (n, width), the CLIP tower's features first.
        """
        config = self.config
        content = extract_features(self.tower, pixels, config.features, config.gem_power)
        factor, offset = (part.to(pixels) for part in self._recolour)
        style = self.style.module
        maps = style.forward_intermediates(pixels * factor + offset, intermediates_only=True)
        return torch.cat([content, gram_features(maps)], dim=1)


def load_style_metric(config: StyleMetricConfig, *, weights: Path, style: Path) -> StyleMetricModel:
    """Load the module for inference: in eval mode, without gradients.

    Args:
        config: the config that it was trained with.
        weights: the checkpoint of CLIP tower and head that training wrote.
        style: the ConvNeXt's checkpoint of timm, with or without its classifier.

    Raises:
        PredictorError: a file does not hold exactly its weights.
    """
    model = StyleMetricModel(config)
    load_style(model, style)
    fill(model, load_weights(weights), weights)
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[no-any-return] # torch is untyped


def load_style(model: StyleMetricModel, path: Path) -> None:
    """Load the weights of the ConvNeXt alone, at the beginning of training.

    Args:
        model: changed in place.
        path: a checkpoint of timm.

    Raises:
        PredictorError: the file does not hold exactly the ConvNeXt's weights.
    """
    style = _style_config(model.config)
    module = model.style.module
    load_strictly(module, convert_state(module, style, load_weights(path), path), path)


def _style_config(config: StyleMetricConfig) -> TowerConfig:
    """The config of the ConvNeXt, as a tower without classifier for images of any size."""
    return TowerConfig(model=config.style_model, features="mean")


def _recolouring(given: Preprocess, wanted: Preprocess) -> tuple[torch.Tensor, torch.Tensor]:
    """The factor and offset, (3, 1, 1) each, from one tower's normalised colours to another's."""
    mean, std = torch.tensor(given.mean), torch.tensor(given.std)
    factor = std / torch.tensor(wanted.std)
    offset = (mean - torch.tensor(wanted.mean)) / torch.tensor(wanted.std)
    return factor.view(3, 1, 1), offset.view(3, 1, 1)
