"""Training a CLIP tower and its head beside a frozen ConvNeXt."""

from __future__ import annotations

from ensembler.training.contract import FoldJob, Trained
from predictors.shared.tower import begin_with
from predictors.shared.training.loop import train_fold
from predictors.shared.training.role_files import copy_role_files
from predictors.shared.training.start import start_training
from predictors.style_metric.model import StyleMetricModel, load_style


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with the ConvNeXt of the role `style`; and, where `weights` are given, with our
    checkpoint of CLIP tower and head, or with one of timm or open_clip, to which a new head is
    added.
    """
    start_training(job, {"style": "a trained ConvNeXt, a checkpoint of timm"})
    model = StyleMetricModel(job.config)
    load_style(model, job.weights["style"])
    if "weights" in job.weights:
        begin_with(model, job.weights["weights"])
    return train_fold(model, job, copy_role_files(job, "style"))
