"""Sharpness-aware steps (Foret et al. 2021), by pytorch-optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

from predictors.shared.training.batch_norms import remembering_nothing


def step_uphill_and_back(
    sam: Any,  # noqa: ANN401 - pytorch_optimizer.SAM
    scaler: torch.amp.GradScaler,
    model: torch.nn.Module,
    gradients: Callable[[], float],
) -> bool:
    """One step with the gradients of where the loss is about to be highest, rho away.

    The way up follows the gradients of the whole batch, not of each process's part, so that what
    is learned does not depend on how many share the work. Batch norms count the batch once. No way
    leads up along gradients that are no numbers: the step is left out then.

    Args:
        sam: whose parameters have the batch's gradients, times the scaler's scale.
        scaler: of the gradients; it leaves the step out where they are too large for float16.
        model: whose parameters these are.
        gradients: gives them to the parameters once more, and tells the loss.

    Returns:
        Whether gradients and the loss up there are numbers; where they are none there was no step.
        Under a scaler that is no matter: it tries again with smaller gradients.
    """
    scaler.unscale_(sam)  # the way up is rho long whatever the scale
    tries_again: bool = scaler.is_enabled()
    if not _are_numbers(sam):
        return tries_again
    sam.first_step(zero_grad=True)
    with remembering_nothing(model):
        sound = math.isfinite(gradients()) or tries_again
    base = sam.base_optimizer
    step = partial(scaler.step, base) if sound else _stay
    sam.base_optimizer = SimpleNamespace(step=step)
    sam.second_step()  # goes back down, then steps
    sam.base_optimizer = base
    return sound


def _are_numbers(sam: torch.optim.Optimizer) -> bool:
    """Whether all gradients of an optimiser's parameters are finite."""
    weights = (weight for group in sam.param_groups for weight in group["params"])
    finite = [weight.grad.isfinite().all() for weight in weights if weight.grad is not None]
    return bool(torch.stack(finite).all())  # one wait for the device


def _stay() -> None:
    """No step."""
