"""Training a vision tower with its head."""

from __future__ import annotations

from ensembler.training.contract import FoldJob, Trained
from predictors.shared.tower import Tower, begin_with
from predictors.shared.training.loop import train_fold
from predictors.shared.training.start import start_training


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with our checkpoint, of tower and head; or with one of timm or open_clip, to which a
    new head is added; or else with new weights.
    """
    start_training(job)
    tower = Tower(job.config)
    if "weights" in job.weights:
        begin_with(tower, job.weights["weights"])
    return train_fold(tower, job)
