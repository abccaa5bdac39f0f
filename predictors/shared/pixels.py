"""Normalisation of decoded images into a model's input, on the model's device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess


def to_tensor(
    images: NDArray[np.uint8], preprocess: Preprocess, device: str | torch.device
) -> torch.Tensor:
    """Normalise a batch: (x / 255 - mean) / std, computed as torchvision's ToTensor, Normalize do.

    The images go to the device as bytes, a quarter of the size of floats.

    Args:
        images: (n, height, width, 3) uint8; may be read-only, and is not changed.
        preprocess: the preprocessing whose mean and std are applied.
        device: a torch device, or its name.

    Returns:
        (n, 3, height, width) float32, in channels-last memory.
    """
    device = torch.device(device)
    # torch warns about a read-only array: such a batch is copied.
    batch = _moved(torch.from_numpy(np.require(images, requirements=["C", "W"])), device)
    mean = torch.tensor(preprocess.mean, device=device).view(3, 1, 1)
    std = torch.tensor(preprocess.std, device=device).view(3, 1, 1)
    return batch.permute(0, 3, 1, 2).float().div_(255.0).sub_(mean).div_(std)


def _moved(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move a batch to a device; to a GPU from pinned memory, so that the copy is asynchronous."""
    if device.type == "cuda":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)
