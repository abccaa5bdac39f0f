"""The batch size is doubled as long as that fits and pays, by a clock of the tests' own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.inference.probe import probe_batch
from ensembler.predicting.batches import BatchLimit


class Device:
    """Takes so many seconds for a batch; has room for so many images."""

    def __init__(self, seconds: Callable[[int], float], room: int = 10_000) -> None:
        self.seconds, self.room, self.now, self.sizes = seconds, room, 0.0, list[int]()

    def embed(self, images: NDArray[np.uint8], limit: BatchLimit) -> None:
        size = len(images)
        self.sizes.append(size)
        self.now += self.seconds(size)
        while size > self.room:
            size //= 2
            limit.images = size


@pytest.mark.parametrize(
    ("device", "batch"),
    [
        (Device(lambda _: 1.0), 256),  # a batch costs the same whatever its size: the largest
        (Device(lambda n: float(n)), 8),  # each image costs the same: the smallest
        (Device(lambda n: max(n, 32) * 1.0), 32),  # full at 32
        (Device(lambda _: 1.0, room=100), 64),  # 128 do not fit
        (Device(lambda _: 1.0, room=5), 4),  # nor the first 8: half of them
        (Device(lambda _: 1.0, room=1), 1),
        (Device(lambda _: 0.0), 256),  # too quick for the clock
    ],
)
def test_the_largest_batch_that_fits_and_pays_is_taken(device: Device, batch: int) -> None:
    assert probe_batch(device.embed, (2, 2), lambda: device.now) == batch
    assert device.sizes[0] == 1  # the set-up of a device is not measured
