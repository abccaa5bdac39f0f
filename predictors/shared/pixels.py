"""From decoded images to a model's input, on the model's device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess


def to_tensor(
    images: NDArray[np.uint8], preprocess: Preprocess, device: str | torch.device
) -> torch.Tensor:
    """Normalise a batch: (x / 255 - mean) / std, in the order of torchvision's ToTensor, Normalize.

    The bytes travel to the device as they are, a quarter of what floats would be.

    Args:
        images: (n, height, width, 3) uint8; may be read-only, and is left as it is.
        preprocess: whose mean and std are applied.
        device: as torch names it.

    Returns:
        (n, 3, height, width) float32, in channels-last memory.
    """
    device = torch.device(device)
    # torch warns of an array that it could write to but must not: such a batch is copied.
    batch = _moved(torch.from_numpy(np.require(images, requirements=["C", "W"])), device)
    mean = torch.tensor(preprocess.mean, device=device).view(3, 1, 1)
    std = torch.tensor(preprocess.std, device=device).view(3, 1, 1)
    return batch.permute(0, 3, 1, 2).float().div_(255.0).sub_(mean).div_(std)


def _moved(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The batch on a device; to a GPU from pinned memory, so that nobody waits for the copy."""
    if device.type == "cuda":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)
