"""CLIP tower, frozen ConvNeXt and head as one module, and how it is filled from files."""

from __future__ import annotations

from pathlib import Path

import torch

from ensembler.errors import PredictorError
from ensembler.images.preprocess import Preprocess
from predictors.shared.features import extract_features, feature_width
from predictors.shared.heads import make_head
from predictors.shared.tower import TOWER
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, own_state, vision_preprocess
from predictors.shared.weights import load_state, load_strictly
from predictors.style_metric.config import StyleMetricConfig
from predictors.style_metric.gram import gram_features


class StyleMetricModel(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Images → CLIP's patches by GeM, a ConvNeXt's Gram features → head → vectors.

    Attributes:
        tower: the CLIP tower.
        style: the ConvNeXt, which is never trained.
        head: from both features, side by side, to vectors.
        dim: numbers in a vector.
        preprocess: how it wants its images, with the colours of the CLIP tower.
    """

    def __init__(self, config: StyleMetricConfig) -> None:
        """Build it, newly initialised.

        Raises:
            PredictorError: the config names no model, or a style model without stages.
        """
        super().__init__()
        self.config = config
        self.tower = build_vision(config)
        self.preprocess: Preprocess = vision_preprocess(self.tower, config)
        style = _style_config(config)
        self.style = build_vision(style).requires_grad_(False)
        if not hasattr(self.style, "stages"):
            raise PredictorError(
                f"style_model {config.style_model!r} has no stages whose maps could be compared:"
                " name a ConvNeXt"
            )
        colours = vision_preprocess(self.style, style)
        self._recolour = _recolouring(self.preprocess, colours)
        channels = sum(stage["num_chs"] for stage in self.style.feature_info)
        width = feature_width(self.tower, config.features) + channels
        self.head = make_head(config.head, width)
        self.dim: int = config.head.dim or width

    def trained(self) -> torch.nn.Module:
        """What training changes and a checkpoint holds: `tower.*` and `head.*`."""
        return torch.nn.ModuleDict({"tower": self.tower, "head": self.head})

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors of normalised images.

        Args:
            pixels: (n, 3, height, width) float, with mean and std of `preprocess`.

        Returns:
            (n, dim), of unit length where the config says so.
        """
        config = self.config
        content = extract_features(self.tower, pixels, config.features, config.gem_power)
        factor, offset = (part.to(pixels) for part in self._recolour)
        maps = self.style.forward_intermediates(pixels * factor + offset, intermediates_only=True)
        vectors = self.head(torch.cat([content, gram_features(maps)], dim=1))
        if not config.normalise_output:
            return vectors
        return torch.nn.functional.normalize(vectors, dim=-1)


def load_style_metric(config: StyleMetricConfig, *, weights: Path, style: Path) -> StyleMetricModel:
    """The module with its weights, ready to embed: in eval mode, without gradients.

    Args:
        config: as it was trained.
        weights: of CLIP tower and head, as training writes them.
        style: the ConvNeXt's, a checkpoint of timm with or without its classifier.

    Raises:
        PredictorError: a file does not hold exactly its weights.
    """
    model = StyleMetricModel(config)
    load_style(model, style)
    state = load_state(weights)
    tower = {n.removeprefix(TOWER): t for n, t in state.items() if n.startswith(TOWER)}
    others = {n: t for n, t in state.items() if not n.startswith(TOWER)}
    own = own_state(model.tower, config, tower, weights) if tower else {}
    load_strictly(model.trained(), {TOWER + n: t for n, t in own.items()} | others, weights)
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[no-any-return] # torch is untyped


def load_style(model: StyleMetricModel, path: Path) -> None:
    """Fill the ConvNeXt alone, as training begins.

    Args:
        model: changed in place.
        path: a checkpoint of timm.

    Raises:
        PredictorError: the file does not hold exactly the ConvNeXt's weights.
    """
    style = _style_config(model.config)
    load_strictly(model.style, own_state(model.style, style, load_state(path), path), path)


def _style_config(config: StyleMetricConfig) -> TowerConfig:
    """The ConvNeXt as a tower without classifier, at whatever size the images have."""
    return TowerConfig(model=config.style_model, features="mean")


def _recolouring(given: Preprocess, wanted: Preprocess) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and offset, (3, 1, 1) each, from one tower's normalised colours to another's."""
    mean, std = torch.tensor(given.mean), torch.tensor(given.std)
    factor = std / torch.tensor(wanted.std)
    offset = (mean - torch.tensor(wanted.mean)) / torch.tensor(wanted.std)
    return factor.view(3, 1, 1), offset.view(3, 1, 1)
