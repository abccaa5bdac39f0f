"""Normalised batches: equal to torchvision's own transform, whatever memory they come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import torch

from ensembler.images.preprocess import Preprocess
from predictors.shared.pixels import _moved, to_tensor

WANTED = Preprocess(height=6, width=5, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def test_normalised_pixels_equal_torchvisions(noise: Callable[..., Any]) -> None:
    from torchvision.transforms import Compose, Normalize, ToTensor

    images = noise(4)[:, :6, :5]
    theirs = Compose([ToTensor(), Normalize(WANTED.mean, WANTED.std)])
    expected = torch.stack([theirs(np.ascontiguousarray(image)) for image in images])
    assert torch.equal(to_tensor(images, WANTED, "cpu"), expected)


def test_a_read_only_batch_is_normalised_and_stays_as_it_was(noise: Callable[..., Any]) -> None:
    images = noise(2)
    before = images.copy()
    images.setflags(write=False)
    pixels = to_tensor(images, WANTED, "cpu")
    assert torch.equal(pixels, to_tensor(before, WANTED, "cpu"))
    assert (images == before).all()


def test_pixels_lie_channels_last(noise: Callable[..., Any]) -> None:
    assert to_tensor(noise(2), WANTED, "cpu").is_contiguous(memory_format=torch.channels_last)


def test_a_batch_goes_to_a_gpu_from_pinned_memory_without_waiting() -> None:
    batch = Mock()
    assert _moved(batch, torch.device("cuda:1")) is batch.pin_memory().to.return_value
    batch.pin_memory().to.assert_called_once_with(torch.device("cuda:1"), non_blocking=True)
    _moved(batch, torch.device("cpu"))
    batch.to.assert_called_once_with(torch.device("cpu"))
