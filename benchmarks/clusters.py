"""Generated prompt vectors: clusters with cosines from .8 to .97 within, in random order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIM = 384
IN_A_CLUSTER = 4  # rows, on average
BLOCK = 1 << 14  # rows generated at once

Vectors = NDArray[np.float32]


def clustered_vectors(file: Path, rows: int) -> Vectors:
    """Generate unit vectors around random centres, each at its own distance.

    Args:
        file: an .npy file to write; the vectors are memory-mapped, because they are many.
        rows: number of vectors.

    Returns:
        (rows, DIM) float32, a memory map of the file.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, rows // IN_A_CLUSTER), DIM), dtype=np.float32)
    vectors = np.lib.format.open_memmap(file, "w+", np.float32, (rows, DIM))
    for start in range(0, rows, BLOCK):
        shape = (min(BLOCK, rows - start), DIM)
        spread = rng.uniform(0.1, 0.5, size=(shape[0], 1)).astype(np.float32)
        block = centres[rng.integers(len(centres), size=shape[0])]
        block += spread * rng.standard_normal(shape, dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        vectors[start : start + BLOCK] = block
    vectors.flush()
    stored: Vectors = np.load(file, mmap_mode="r")
    return stored
