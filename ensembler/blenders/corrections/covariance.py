"""How targets spread: their covariance over training rows, shrunk as few targets ask for.

A covariance of fewer targets than dimensions has directions of no variance at all. Ledoit & Wolf (A
well-conditioned estimator for large-dimensional covariance matrices, Journal of Multivariate
Analysis 88, 2004) mix it with a multiple of the identity, by the share that is right if targets are
drawn one by one. Rows of a group are not (they may share one target), so groups are what counts:
with row weights, the effective number of groups of Kish.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import BLOCK, Data, HeldFolds
from ensembler.blenders.refitting.memory import once_for_data


class Moments(NamedTuple):
    """Weighted sums over the rows of each fold.

    Attributes:
        products: (F, d, d) float64, of t tᵀ for the unit target t.
        weight: (F,) of the row weights.
        squares: (F,) of the squares of the groups' weights.
    """

    products: NDArray[np.float64]
    weight: NDArray[np.float64]
    squares: NDArray[np.float64]


def shrunk_covariance(data: Data, held_out: HeldFolds) -> NDArray[np.float64]:
    """The covariance of the targets of the training rows, about their mean, shrunk.

    Args:
        data: whose targets.
        held_out: folds whose targets nothing may know.

    Returns:
        (d, d) float64; all zeros where the targets, or the rows with any weight, are all one.
    """
    moments, folds = _moments(data), list(data.inner_folds(held_out))
    weight, squares = float(moments.weight[folds].sum()), float(moments.squares[folds].sum())
    if weight == 0.0:
        return np.zeros((data.dim, data.dim))
    mean = data.statistics.fold_sums[folds].sum(axis=0) / weight
    about_zero = moments.products[folds].sum(axis=0) / weight
    covariance = about_zero - np.outer(mean, mean)
    # Mean of ‖t - mean‖⁴, for ‖t‖ = 1: the square of 1 + mean·mean - 2 t·mean.
    size = 1.0 + mean @ mean
    fourth = size**2 - 4.0 * size * (mean @ mean) + 4.0 * (mean @ about_zero @ mean)
    spherical = np.trace(covariance) / data.dim * np.eye(data.dim)
    unlike = float(((covariance - spherical) ** 2).sum())
    noise = float(fourth - (covariance**2).sum()) * squares / weight**2
    share = min(1.0, max(0.0, noise / unlike)) if unlike > 0.0 else 1.0
    return np.asarray((1.0 - share) * covariance + share * spherical)


@once_for_data
def _moments(data: Data) -> Moments:
    statistics = data.statistics
    products = np.zeros((statistics.folds, data.dim, data.dim))
    for fold in range(statistics.folds):
        rows = data.fold_rows(fold)
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            targets = data.targets(some)
            products[fold] += targets.T @ (targets * statistics.weight[some, None])
    _, group = np.unique(data.store.samples.group, return_inverse=True)
    of_groups = np.bincount(group, statistics.weight)
    fold_of_group = np.zeros(len(of_groups), dtype=np.int64)
    fold_of_group[group] = statistics.fold  # folds are whole groups
    return Moments(
        products=products,
        weight=np.bincount(statistics.fold, statistics.weight, statistics.folds).astype(float),
        squares=np.bincount(fold_of_group, of_groups**2, statistics.folds).astype(float),
    )
