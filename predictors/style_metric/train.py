"""Training a CLIP tower and its head beside a ConvNeXt that stays as it is."""

from __future__ import annotations

import torch

from ensembler.errors import InputError
from ensembler.training.contract import FoldJob, Trained
from predictors.shared.tower import begin_with
from predictors.shared.training.keeping import keep
from predictors.shared.training.loop import train_fold
from predictors.style_metric.model import StyleMetricModel, load_style


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with the ConvNeXt of the role `style`; and as `weights` with our checkpoint, of CLIP
    tower and head, or with one of timm or open_clip, to which a new head is added.

    Raises:
        InputError: there is no `style`, as well.
    """
    if "style" not in job.weights:
        raise InputError(
            "style_metric compares styles by a ConvNeXt that has learned to see already: give a"
            " checkpoint of timm, --weights style=FILE"
        )
    torch.manual_seed(job.recipe.seed)
    model = StyleMetricModel(job.config)
    load_style(model, job.weights["style"])
    if "weights" in job.weights:
        begin_with(model, job.weights["weights"])
    return train_fold(model, job, keep(job, "style"))
