"""The start of every training: the files that it needs are there, and torch is seeded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from ensembler.errors import InputError
from ensembler.training.contract import FoldJob


def start_training(job: FoldJob, required: Mapping[str, str] = MappingProxyType({})) -> None:
    """Check the files to begin with, and seed torch, so that new weights follow from the recipe.

    Args:
        job: whose recipe and weights count.
        required: roles that must be given → what they are, as in "a BLIP captioner".

    Raises:
        InputError: a required role is not given.
    """
    for role, what in required.items():
        if role not in job.weights:
            raise InputError(
                f"training begins with {what}, and none is given: add --weights {role}=PATH"
            )
    torch.manual_seed(job.recipe.seed)
