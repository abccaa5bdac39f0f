"""Batch norms in training: synchronised over processes, or with fixed running statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch.nn.modules.batchnorm import _BatchNorm


def sync_batch_norms(model: torch.nn.Module, accelerator: Accelerator) -> torch.nn.Module:
    """Synchronise batch norms over all processes, where these use several GPUs.

    The conversion is timm's: torch's drops the activations inside timm's norms.

    Args:
        model: changed in place, unless it is a norm itself.
        accelerator: the processes that share the work.

    Returns:
        The model, its parameters and buffers under the same names.
    """
    if accelerator.device.type != "cuda" or accelerator.num_processes == 1:
        return model
    converted: torch.nn.Module = convert_sync_batchnorm(model)
    return converted


@contextmanager
def without_tracking(model: torch.nn.Module) -> Iterator[None]:
    """Keep the running statistics of a model's batch norms unchanged in a block.

    A momentum of 0 is not enough: 0 times the statistics of a batch is NaN where these are.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
