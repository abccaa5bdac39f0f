"""Training BLIP-2's vision tower, Q-Former and head, without the language model."""

from __future__ import annotations

from typing import Final

from ensembler.training.contract import FoldJob, Trained
from predictors.blip2_qformer.model import Blip2QFormerModel, read_tower
from predictors.shared.training.loop import train_fold
from predictors.shared.training.role_files import copy_role_files
from predictors.shared.training.start import start_training
from predictors.shared.weights import load_strictly, load_weights

# The files that a trained checkpoint is loaded with: architecture and preprocessing, no weights.
DESCRIPTION: Final = ("config.json", "preprocessor_config.json", "processor_config.json")


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with the folder of the role `model`, to which a new head is added; or, where `weights`
    are given, with those of our checkpoint, for which the folder gives only the architecture.
    """
    start_training(job, {"model": "a BLIP-2, a folder as transformers saves it"})
    folder, weights = job.weights["model"], job.weights.get("weights")
    model = Blip2QFormerModel(job.config, folder)
    if weights is None:
        load_strictly(model.tower, read_tower(folder), folder)
    else:
        load_strictly(model, load_weights(weights), weights)
    return train_fold(model, job, copy_role_files(job, "model", only=DESCRIPTION))
