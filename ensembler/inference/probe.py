"""The batch size that suits a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.inference.deadline import Clock
from ensembler.predicting.batches import BatchLimit

SMALLEST: Final = 8
LARGEST: Final = 256  # larger ones are no faster on any tower that we know
GAIN: Final = 1.05  # a batch twice as large must bring this much more speed to be worth its memory
CPU: Final = 32  # not probed there: speed hardly changes, and a fixed size gives fixed bytes


def probe_batch(
    embed: Callable[[NDArray[np.uint8], BatchLimit], object],
    shape: tuple[int, int],
    clock: Clock,
) -> int:
    """Double the batch until it no longer fits, is no faster, or is LARGEST.

    Args:
        embed: takes (n, height, width, 3) uint8 and halves its limit where memory ends.
        shape: (height, width) of the images.
        clock: what measures.

    Returns:
        The largest size that was worth it.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (LARGEST, *shape, 3), dtype=np.uint8)
    embed(pixels[:1], BatchLimit())  # the first batch on a device also pays for its set-up
    best, best_speed, size = 1, 0.0, SMALLEST
    while size <= LARGEST:
        limit = BatchLimit()
        begun = clock()
        embed(pixels[:size], limit)
        seconds = clock() - begun
        if limit.images is not None:
            return limit.images if best == 1 else best
        speed = size / max(seconds, 1e-9)
        if speed < GAIN * best_speed:
            return best
        best, best_speed, size = size, speed, 2 * size
    return best
