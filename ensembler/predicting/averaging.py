"""Several checkpoints' vectors of the same images, as one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

CANCELLED: Final = 1e-6  # a sum of unit vectors no longer than this share of their number is none


def averaged(
    vectors: NDArray[np.floating], length: float | NDArray[np.floating]
) -> NDArray[np.float32]:
    """The directions' average, every row brought to a length.

    Rows are scaled to unit length first, so that no checkpoint speaks louder than another. The
    length is the member's to choose, so that norms mean what they meant out of fold.

    Args:
        vectors: (checkpoints, rows, d), finite; a row of zeros is one that a checkpoint lacks.
        length: of the result's rows; one for all, or (rows,).

    Returns:
        (rows, d) float32; zeros where all checkpoints lack a row, or cancel each other.
    """
    whole = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(whole, axis=2, keepdims=True)
    summed = np.divide(whole, norms, out=np.zeros_like(whole), where=norms > 0).sum(axis=0)
    norm = np.linalg.norm(summed, axis=1, keepdims=True)
    there = norm > CANCELLED * (norms > 0).sum(axis=0)
    unit = np.divide(summed, norm, out=np.zeros_like(summed), where=there)
    scaled: NDArray[np.float32] = (unit * np.asarray(length)[..., None]).astype(np.float32)
    return scaled
