"""The prior: the unit-length mean target, out of fold for every row that is scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.metrics import unit_rows

BLOCK = 4096  # targets summed at once


def fold_sums(
    targets: NDArray[np.float32],
    weight: NDArray[np.float64],
    fold: NDArray[np.int64],
    folds: int | None = None,
) -> NDArray[np.float64]:
    """Each fold's weighted sum of unit targets.

    Args:
        targets: (rows, d), any positive length.
        weight: (rows,) float64 row weights.
        fold: (rows,) int64 in 0..F-1.
        folds: F; the largest of `fold` and one by default.

    Returns:
        (F, d) float64.
    """
    sums = np.zeros((int(fold.max()) + 1 if folds is None else folds, targets.shape[1]))
    for start in range(0, len(fold), BLOCK):
        rows = slice(start, start + BLOCK)
        in_fold = (fold[rows] == np.arange(len(sums))[:, None]).astype(np.float64)
        sums += in_fold @ (unit_rows(targets[rows]) * weight[rows, None])
    return sums


def priors_out_of_fold(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The prior for the rows of each fold, from the targets of all other folds.

    Args:
        sums: (F, d) float64, from `fold_sums`.

    Returns:
        (F, d) float64 of unit length; zero where no other fold has targets.
    """
    others = 1.0 - np.eye(len(sums))  # never "all less its own", which leaves its own rounding
    return unit_rows(others @ sums)


def prior_of_all(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The prior for rows never seen, from all targets, (d,) float64 of unit length."""
    return unit_rows(sums.sum(axis=0, keepdims=True)).reshape(-1)
