"""The metric: cosine of each row with its own target, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale each row to length 1.

    Rows are divided by their largest magnitude first, so that neither 1e-30 nor 1e30 under- or
    overflows when squared.

    Args:
        vectors: (rows, d), any float type.

    Returns:
        (rows, d) float64; a zero row stays zero, a row with NaN or infinity becomes NaN.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    peak = np.max(np.abs(wide), axis=1, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore"):
        scaled = wide / np.where(peak == 0.0, 1.0, peak)
        length = np.sqrt(np.einsum("id,id->i", scaled, scaled))[:, None]
        return scaled / np.where(length == 0.0, 1.0, length)


def paired_cosine(
    predicted: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Cosine between each predicted row and the target row at the same position.

    Args:
        predicted: (rows, d), any float type and scale.
        target: (rows, d), any float type and scale.

    Returns:
        (rows,) float64 in [-1, 1] up to rounding; 0 where either row is zero.
    """
    cosine: NDArray[np.float64] = np.einsum("id,id->i", unit_rows(predicted), unit_rows(target))
    return cosine


def mean_cosine(
    predicted: NDArray[np.floating],
    target: NDArray[np.floating],
    weight: NDArray[np.float64] | None = None,
) -> float:
    """The competition's score: the (weighted) mean over rows of the paired cosine.

    Args:
        predicted: (rows, d), any float type and scale.
        target: (rows, d), any float type and scale.
        weight: (rows,) float64, nonnegative with a positive sum; None counts rows equally.

    Returns:
        The mean, float64.
    """
    return float(np.average(paired_cosine(predicted, target), weights=weight))
