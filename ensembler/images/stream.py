"""Streaming of images in batches, decoded ahead by threads (Pillow releases the GIL)."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError
from ensembler.images.cache import ImageCache
from ensembler.images.decode import ImageError, check_pillow, check_pixels, decode
from ensembler.images.failures import Failure
from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized, scaled_size

PREFETCH: Final = 3  # batches being decoded while another is worked on


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatch:
    """Consecutive images of a list, as a model takes them.

    Attributes:
        positions: (k,) int64 indices into the list, ascending.
        images: (k, height, width, 3) uint8 RGB; k is 0 when none could be read.
        failures: the images that could not be read, ascending.
    """

    positions: NDArray[np.int64]
    images: NDArray[np.uint8]
    failures: tuple[Failure, ...]


def stream_images(
    paths: Sequence[Path],
    preprocess: Preprocess,
    *,
    batch: int,
    workers: int,
    cache: ImageCache | None = None,
) -> Generator[ImageBatch, None, None]:
    """Decode and resize a list of images, in order and ahead of the consumer.

    The content of a batch depends only on the list and `batch`. An image that cannot be read is a
    failure of its batch and stops nothing. At most PREFETCH + 1 batches are in memory, the one
    being worked on included, and for each worker three copies of one image at its full size.

    Args:
        paths: the files.
        preprocess: the preprocessing that decides their size.
        batch: paths per batch; the last batch may be shorter.
        workers: number of decoding threads.
        cache: resized images on disk.

    Returns:
        The batches. Closing the generator, as an interrupt does, ends its threads.

    Raises:
        InputError: Pillow is not installed, or batch or workers is below 1.
    """
    if batch < 1 or workers < 1:
        raise InputError(f"batch = {batch} and workers = {workers} must be at least 1")
    check_pillow()
    return _stream(paths, preprocess, batch, workers, cache)


def load_image(path: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Read one image and resize it for a model.

    Args:
        path: the image's file.
        preprocess: the preprocessing that decides its size.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ImageError: the image cannot be read, or is so elongated that it would have more than
            MAX_PIXELS once its shorter side has the size.
    """
    image = decode(path)
    check_pixels(path, *scaled_size(*image.size, preprocess))
    return resized(image, preprocess)


def can_be_read(path: Path, preprocess: Preprocess) -> bool:
    """Whether `load_image` succeeds."""
    try:
        load_image(path, preprocess)
    except ImageError:
        return False
    return True


class _Pending:
    """A batch that is being decoded."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        paths: Sequence[Path],
        first: int,
        preprocess: Preprocess,
        cache: ImageCache | None,
    ) -> None:
        self.first = first
        self.images = np.empty((len(paths), preprocess.height, preprocess.width, 3), np.uint8)
        self.reasons: list[Future[str | None]] = [
            pool.submit(_load_into, self.images[row], path, preprocess, cache)
            for row, path in enumerate(paths)
        ]

    def collect(self) -> ImageBatch:
        """Wait for the images and close the gaps that failures left."""
        positions: list[int] = []
        failures: list[Failure] = []
        for row, future in enumerate(self.reasons):
            reason = future.result()
            if reason is not None:
                failures.append(Failure(self.first + row, reason))
                continue
            if len(positions) < row:
                self.images[len(positions)] = self.images[row]
            positions.append(self.first + row)
        return ImageBatch(
            positions=np.array(positions, np.int64),
            images=self.images[: len(positions)],
            failures=tuple(failures),
        )


def _stream(
    paths: Sequence[Path],
    preprocess: Preprocess,
    batch: int,
    workers: int,
    cache: ImageCache | None,
) -> Generator[ImageBatch, None, None]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[_Pending] = deque()
    try:
        for first in range(0, len(paths), batch):
            pending.append(_Pending(pool, paths[first : first + batch], first, preprocess, cache))
            if len(pending) == PREFETCH:
                yield pending.popleft().collect()
        while pending:
            yield pending.popleft().collect()
    finally:
        pool.shutdown(cancel_futures=True)


def _load_into(
    place: NDArray[np.uint8], path: Path, preprocess: Preprocess, cache: ImageCache | None
) -> str | None:
    """Read an image into an array.

    Returns:
        The reason of a failure, or None.
    """
    try:
        if cache is None:
            place[:] = load_image(path, preprocess)
        else:
            place[:] = cache.get(path, preprocess, lambda: load_image(path, preprocess))
    except ImageError as error:
        return error.reason
    return None
