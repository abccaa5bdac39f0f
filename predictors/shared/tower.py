"""A timm vision tower with a head: building it and loading its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ensembler.errors import PredictorError
from predictors.shared.features import extract_features, feature_width
from predictors.shared.headed import Headed
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, convert_state, vision_preprocess
from predictors.shared.weights import StateDict, check_names, load_strictly, load_weights

TOWER = "tower."  # prefix of the tower's tensors in our checkpoints; the head's is "head."


class Tower(Headed):
    """A timm model with a head on the features that its config names."""

    config: TowerConfig

    def __init__(self, config: TowerConfig) -> None:
        """Build tower and head, newly initialised.

        Raises:
            PredictorError: the config names an unknown model, or features that it does not have.
        """
        tower = build_vision(config)
        width = feature_width(tower, config.features)
        super().__init__(config, tower, width, vision_preprocess(tower, config))

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """The features, (n, width), of (n, 3, height, width) normalised pixels."""
        config = self.config
        return extract_features(self.tower, pixels, config.features, config.gem_power)


def load_tower(config: TowerConfig, path: Path) -> Tower:
    """Load a tower for inference: in eval mode, without gradients, in channels-last memory.

    Args:
        config: the config that it was trained with.
        path: our checkpoint; or, for a tower without a head, also one of timm or open_clip.
            Position embeddings of another image size are interpolated, as open_clip does.

    Raises:
        PredictorError: the file cannot be read as weights, or they are missing, unexpected or of
            another shape.
    """
    tower = Tower(config)
    if not begin_with(tower, path) and config.head.kind != "none":
        raise PredictorError(
            f"{path} holds no head.* and tower.* weights: it is a bare tower, and the head of kind"
            f" {config.head.kind!r} is missing. Give the checkpoint that training wrote, or set"
            ' head = {kind = "none"}'
        )
    tower.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return tower


def begin_with(model: Any, path: Path) -> bool:  # noqa: ANN401 - a module with tower and config
    """Load weights into tower and head, or into the tower alone.

    Args:
        model: a module with a timm `tower`, a head and the `config` of both; changed in place.
        path: our checkpoint; or one of timm or open_clip, of the tower alone, which leaves the
            head as it is.

    Returns:
        Whether the checkpoint is ours.

    Raises:
        PredictorError: the file cannot be read as weights, or they are missing, unexpected or of
            another shape.
    """
    state = load_weights(path)
    ours = any(name.startswith(TOWER) for name in state)
    if ours:
        fill(model, state, path)
    else:
        load_strictly(model.tower, convert_state(model.tower, model.config, state, path), path)
    return ours


def fill(model: Any, state: StateDict, path: Path) -> None:  # noqa: ANN401 - as above
    """Load weights of our checkpoint into tower and head, resized to the tower's image size.

    Args:
        model: a module with a timm `tower`, a head and the `config` of both; changed in place.
        state: the checkpoint's weights.
        path: the checkpoint, for messages.

    Raises:
        PredictorError: weights are missing, unexpected or of another shape.
    """
    check_names(model.state_dict(), state, path)
    vision = {n.removeprefix(TOWER): t for n, t in state.items() if n.startswith(TOWER)}
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(TOWER)}
    tower = convert_state(model.tower, model.config, vision, path)
    load_strictly(model, {TOWER + name: tensor for name, tensor in tower.items()} | rest, path)
