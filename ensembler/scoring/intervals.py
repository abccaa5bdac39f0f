"""Paired group-bootstrap intervals (Davison & Hinkley, Bootstrap Methods, 1997, section 3.8).

Whole groups are drawn with replacement, because rows of a group share their target; the cosines of
the rows are resampled, nothing is fitted again. A difference uses the same draws on both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000  # the ends of an interval then move by some 3 % of its width from seed to seed
CLUSTERS = 512  # more groups are pooled, so that draws stay quick; it may cost another 3 %
COVERAGE = 0.95

Interval = tuple[float, float]


class GroupBootstrap:
    """The same draws of groups for any number of means.

    Args:
        groups: (rows,) text.
        weight: (rows,) float64 row weights.
        seed: of the draws; groups enter by name, so the order of rows does not matter.
    """

    def __init__(self, groups: NDArray[np.str_], weight: NDArray[np.float64], seed: int) -> None:
        names, code = np.unique(groups, return_inverse=True)
        self._cluster = code % CLUSTERS
        self._count = min(len(names), CLUSTERS)
        self._weight = weight
        even = np.full(self._count, 1.0 / self._count)
        drawn = np.random.default_rng(seed).multinomial(self._count, even, size=DRAWS)
        weights = np.bincount(self._cluster, weight, minlength=self._count)
        self._draws = drawn.astype(np.float64)
        self._drawn_weight = self._draws @ weights

    def mean(self, values: NDArray[np.float64]) -> float:
        """The weighted mean of (rows,) values."""
        return float(np.average(values, weights=self._weight))

    def interval(self, values: NDArray[np.float64]) -> Interval:
        """The percentile interval of the weighted mean of (rows,) values."""
        ends = [(1.0 - COVERAGE) / 2.0, (1.0 + COVERAGE) / 2.0]
        low, high = np.quantile(self._means(values), ends)
        return float(low), float(high)

    def standard_error(self, values: NDArray[np.float64]) -> float:
        """The standard error of the weighted mean of (rows,) values."""
        return float(self._means(values).std())

    def _means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(self._cluster, self._weight * values, minlength=self._count)
        some = self._drawn_weight > 0.0
        return np.asarray((self._draws @ total)[some] / self._drawn_weight[some])
