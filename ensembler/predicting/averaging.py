"""Averaging of several checkpoints' vectors of the same images."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

CANCELLED: Final = 1e-6  # a sum of unit vectors no longer than this share of their number is zero


def average_directions(
    vectors: NDArray[np.floating], length: float | NDArray[np.floating]
) -> NDArray[np.float32]:
    """Average the directions of vectors, and scale every row to a given length.

    Rows are scaled to unit length first, so that no checkpoint outweighs another. The caller gives
    the length, so that a member's norms mean what they meant out of fold.

    Args:
        vectors: (checkpoints, rows, d), finite; zero rows are rows that a checkpoint lacks.
        length: length of the result's rows; one for all, or (rows,).

    Returns:
        (rows, d) float32; zeros where all checkpoints lack a row, or cancel each other.
    """
    whole = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(whole, axis=2, keepdims=True)
    summed = np.divide(whole, norms, out=np.zeros_like(whole), where=norms > 0).sum(axis=0)
    norm = np.linalg.norm(summed, axis=1, keepdims=True)
    nonzero = norm > CANCELLED * (norms > 0).sum(axis=0)
    unit = np.divide(summed, norm, out=np.zeros_like(summed), where=nonzero)
    scaled: NDArray[np.float32] = (unit * np.asarray(length)[..., None]).astype(np.float32)
    return scaled
