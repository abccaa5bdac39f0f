"""Training a vision tower with its head."""

from __future__ import annotations

from pathlib import Path

import torch

from ensembler.training.contract import FoldJob, Trained
from predictors.shared.tower import TOWER, Tower, load_tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.loop import train_fold
from predictors.shared.vision import own_state
from predictors.shared.weights import load_state, load_strictly


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`."""
    torch.manual_seed(job.recipe.seed)
    return train_fold(beginning(job.config, job.weights), job)


def beginning(config: TowerConfig, weights: Path | None) -> Tower:
    """A tower to train.

    Args:
        config: its own and its head's.
        weights: our checkpoint, of tower and head; or one of timm or open_clip, to which a new head
            is added; None for a tower that knows nothing.

    Raises:
        PredictorError: the config names no model, or the weights are not its.
    """
    if weights is None:
        return Tower(config)
    state = load_state(weights)
    if any(name.startswith(TOWER) for name in state):
        return load_tower(config, weights)
    tower = Tower(config)
    load_strictly(tower.tower, own_state(tower.tower, config, state, weights), weights)
    return tower
