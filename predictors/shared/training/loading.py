"""Loading of a step's images: decoded and augmented ahead, by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.images.decode import check_pillow, decode
from ensembler.images.preprocess import Preprocess
from ensembler.training.recipe import Augment
from predictors.shared.training.draws import Draw

PREFETCH: Final = 3  # batches that are loaded ahead of the current one

Pixels = NDArray[np.uint8]


def load_batches(
    batches: Iterable[Sequence[Draw]],
    folder: Path,
    preprocess: Preprocess,
    augment: Augment | None,
    *,
    workers: int,
) -> Generator[Pixels, None, None]:
    """Load the images of one batch after another.

    Args:
        batches: the draws of each.
        folder: the folder that the images' paths are relative to.
        preprocess: size and interpolation.
        augment: augmentation; None for none.
        workers: decoding threads.

    Yields:
        (batch, height, width, 3) uint8. Closing the iterator stops the threads.

    Raises:
        InputError: an image cannot be read; the message names it.
    """
    check_pillow()
    from predictors.shared.training.augment import augment_image

    def load(draw: Draw) -> Pixels:
        return augment_image(decode(folder / draw.image), preprocess, augment, draw.seed)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[list[Future[Pixels]]] = deque()
    try:
        for batch in batches:
            pending.append([pool.submit(load, draw) for draw in batch])
            if len(pending) == PREFETCH:
                yield np.stack([image.result() for image in pending.popleft()])
        while pending:
            yield np.stack([image.result() for image in pending.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)
