"""Training BLIP-2's vision tower, Q-Former and head, without the language model."""

from __future__ import annotations

from typing import Final

import torch

from ensembler.errors import InputError
from ensembler.training.contract import FoldJob, Trained
from predictors.blip2_qformer.model import Blip2QFormerModel, read_tower
from predictors.shared.training.keeping import keep
from predictors.shared.training.loop import train_fold
from predictors.shared.weights import load_state, load_strictly

# Of gigabytes, what a trained checkpoint is loaded with: its architecture and preprocessing.
DESCRIPTION: Final = ("config.json", "preprocessor_config.json", "processor_config.json")


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with the folder of the role `model`, to which a new head is added; or, where `weights`
    are given, with those of our checkpoint, and the folder says no more than what they are of.

    Raises:
        InputError: there is no `model`, as well.
    """
    if "model" not in job.weights:
        raise InputError(
            "blip2_qformer begins with a BLIP-2 as transformers saves it: --weights model=DIR"
        )
    torch.manual_seed(job.recipe.seed)
    folder, weights = job.weights["model"], job.weights.get("weights")
    model = Blip2QFormerModel(job.config, folder)
    if weights is None:
        load_strictly(model.tower, read_tower(folder), folder)
    else:
        load_strictly(model, load_state(weights), weights)
    return train_fold(model, job, keep(job, "model", only=DESCRIPTION))
