"""Buffers of vectors: in memory, or in a temporary file where they are too large."""

from __future__ import annotations

import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.files import is_full

MEMORY_BYTES = 1 << 28  # a larger buffer is a temporary file


def make_buffer(rows: int, dim: int) -> NDArray[np.float32]:
    """Zeros to write vectors into; they are gone with the last reference.

    Args:
        rows: how many vectors.
        dim: numbers of each.

    Returns:
        (rows, dim) float32; beyond HELD_BYTES a map of a temporary file without a name.

    Raises:
        StoreError: the disk of temporary files is full.
    """
    size = rows * dim * np.dtype(np.float32).itemsize
    if size <= MEMORY_BYTES:
        return np.zeros((rows, dim), dtype=np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # a full disk fails here, not by a signal later
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, np.float32, "r+", shape=(rows, dim))
    except OSError as error:
        if not is_full(error):
            raise
        raise StoreError(
            f"{tempfile.gettempdir()} has no room for {size >> 20} MiB of a blend's rows; free"
            " some, or let TMPDIR name another folder"
        ) from error
