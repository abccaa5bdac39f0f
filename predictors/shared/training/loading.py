"""Images on their way to a step: decoded and augmented ahead, by threads."""

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

PREFETCH: Final = 3  # batches on their way while another is learned from

Pixels = NDArray[np.uint8]


def load_batches(
    batches: Iterable[Sequence[Draw]],
    folder: Path,
    preprocess: Preprocess,
    augment: Augment | None,
    *,
    workers: int,
) -> Generator[Pixels, None, None]:
    """The images of one batch after another.

    Args:
        batches: what each consists of.
        folder: that the images' paths are relative to.
        preprocess: what they are brought to.
        augment: what is done to them.
        workers: threads.

    Yields:
        (batch, height, width, 3) uint8. Closing the iterator ends its threads.

    Raises:
        InputError: an image cannot be read; the message names it.
    """
    check_pillow()
    from predictors.shared.training.augment import augmented

    def load(one: Draw) -> Pixels:
        return augmented(decode(folder / one.image), preprocess, augment, one.seed)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[list[Future[Pixels]]] = deque()
    try:
        for batch in batches:
            pending.append([pool.submit(load, one) for one in batch])
            if len(pending) == PREFETCH:
                yield np.stack([image.result() for image in pending.popleft()])
        while pending:
            yield np.stack([image.result() for image in pending.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)
