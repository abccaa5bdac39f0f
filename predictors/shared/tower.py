"""A vision tower with its head: what an adapter embeds with and what training trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ensembler.errors import PredictorError
from predictors.shared.features import extract_features, feature_width
from predictors.shared.headed import Headed
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, own_state, vision_preprocess
from predictors.shared.weights import State, check_names, load_state, load_strictly

TOWER = "tower."  # before the tower's names in our checkpoints; the head's stand under "head."


class Tower(Headed):
    """A timm model with a head on the features that its config names."""

    config: TowerConfig

    def __init__(self, config: TowerConfig) -> None:
        """Build it, newly initialised.

        Raises:
            PredictorError: the config names no model, or features that it has not.
        """
        tower = build_vision(config)
        width = feature_width(tower, config.features)
        super().__init__(config, tower, width, vision_preprocess(tower, config))

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, width) of (n, 3, height, width) normalised pixels."""
        config = self.config
        return extract_features(self.tower, pixels, config.features, config.gem_power)


def load_tower(config: TowerConfig, path: Path) -> Tower:
    """A tower with its weights, ready to embed: in eval mode, without gradients, channels last.

    Args:
        config: as it was trained.
        path: our checkpoint; or, for a tower without a head, also one of timm or open_clip.
            Position embeddings of another image size are interpolated, as open_clip does.

    Raises:
        PredictorError: the file is not what it should be, or its weights are missing, unexpected
            or of another shape.
    """
    tower = Tower(config)
    if not begin_with(tower, path) and config.head.kind != "none":
        raise PredictorError(
            f"{path} holds no head.* and tower.* weights: it is a bare tower, whose head of kind"
            f" {config.head.kind!r} is missing. Give the checkpoint that training wrote, or say"
            ' head = {kind = "none"}'
        )
    tower.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return tower


def begin_with(model: Any, path: Path) -> bool:  # noqa: ANN401 - a module with tower and config
    """Fill tower and head, or the tower alone.

    Args:
        model: of a timm `tower` and a head, and the `config` of both; changed in place.
        path: our checkpoint; or one of timm or open_clip, of the tower alone, which leaves the
            head as it is.

    Returns:
        Whether it is ours.

    Raises:
        PredictorError: the file is not what it should be, or its weights are missing, unexpected
            or of another shape.
    """
    state = load_state(path)
    ours = any(name.startswith(TOWER) for name in state)
    if ours:
        fill(model, state, path)
    else:
        load_strictly(model.tower, own_state(model.tower, model.config, state, path), path)
    return ours


def fill(model: Any, state: State, path: Path) -> None:  # noqa: ANN401 - as above
    """Fill tower and head from our checkpoint, the tower's weights at the tower's size.

    Args:
        model: of a timm `tower` and a head, and the `config` of both; changed in place.
        state: what the checkpoint holds.
        path: it, for messages.

    Raises:
        PredictorError: weights are missing, unexpected or of another shape.
    """
    check_names(model.state_dict(), state, path)
    vision = {n.removeprefix(TOWER): t for n, t in state.items() if n.startswith(TOWER)}
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(TOWER)}
    own = own_state(model.tower, model.config, vision, path)
    load_strictly(model, {TOWER + name: tensor for name, tensor in own.items()} | rest, path)
