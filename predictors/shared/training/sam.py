"""Sharpness-aware steps (Foret et al. 2021), by pytorch-optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

from predictors.shared.training.batch_norms import without_tracking


def sam_step(
    sam: Any,  # noqa: ANN401 - pytorch_optimizer.SAM
    scaler: torch.amp.GradScaler,
    model: torch.nn.Module,
    gradients: Callable[[], float],
) -> bool:
    """Take one step with the gradients at the point, rho away, where the loss is about highest.

    The ascent follows the gradients of the whole batch, not of each process's part, so that the
    result does not depend on the number of processes. Batch norms count the batch once. Where the
    gradients are not finite there is no ascent, and the step is skipped.

    Args:
        sam: the optimiser; its parameters have the batch's gradients, times the scaler's scale.
        scaler: of the gradients; it skips a step whose gradients overflow float16.
        model: the module whose parameters these are.
        gradients: computes the parameters' gradients again and returns the loss.

    Returns:
        False where the gradients, or the loss after the ascent, are not finite: no step was taken.
        Under a scaler always True: it tries again with a smaller scale.
    """
    scaler.unscale_(sam)  # the ascent is rho long whatever the scale
    tries_again: bool = scaler.is_enabled()
    if not _gradients_are_finite(sam):
        return tries_again
    sam.first_step(zero_grad=True)
    with without_tracking(model):
        finite = math.isfinite(gradients()) or tries_again
    base = sam.base_optimizer
    step = partial(scaler.step, base) if finite else _skip_step
    sam.base_optimizer = SimpleNamespace(step=step)
    sam.second_step()  # returns to the weights before the ascent, then steps
    sam.base_optimizer = base
    return finite


def _gradients_are_finite(sam: torch.optim.Optimizer) -> bool:
    """Whether all gradients of an optimiser's parameters are finite."""
    weights = (weight for group in sam.param_groups for weight in group["params"])
    finite = [weight.grad.isfinite().all() for weight in weights if weight.grad is not None]
    return bool(torch.stack(finite).all())  # one wait for the device


def _skip_step() -> None:
    """Take no step."""
