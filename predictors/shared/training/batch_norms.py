"""Batch norms of a training: whose batch they see, and what they remember of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from timm.layers import convert_sync_batchnorm
from torch.nn.modules.batchnorm import _BatchNorm


def seeing_all(model: torch.nn.Module, accelerator: Accelerator) -> torch.nn.Module:
    """Let batch norms see the images of all processes, where these are on several GPUs.

    The conversion is timm's: torch's would drop the activations that timm's norms hold.

    Args:
        model: changed in place, unless it is a norm itself.
        accelerator: the processes that share the work.

    Returns:
        The model, with the same parameters and buffers by the same names.
    """
    if accelerator.device.type != "cuda" or accelerator.num_processes == 1:
        return model
    converted: torch.nn.Module = convert_sync_batchnorm(model)
    return converted


@contextmanager
def remembering_nothing(model: torch.nn.Module) -> Iterator[None]:
    """Leave the running statistics of a model's batch norms as they are.

    A momentum of 0 would not: it takes in 0 times what is seen, and that is NaN where that is.
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
