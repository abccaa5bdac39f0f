"""Nested estimates: the whole fit is repeated without a fold, and scored on that fold.

Folds are whole groups. While a fold is held out, no prior knows its targets either, so nothing that
scores a row has seen the targets of the row's group. Members' means, which know no target, are
taken over all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_cosines

Fit = Callable[[NDArray[np.int64], int | None], Weighting]  # rows to fit on, the fold held out


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """What nested fits gave.

    Attributes:
        cosines: (rows,) float64, each row under the fit that saw no target of its fold.
        weightings: one for each fold, in order.
    """

    cosines: NDArray[np.float64]
    weightings: tuple[Weighting, ...]


def nested_cosines(statistics: Statistics, fit: Fit) -> Nested:
    """Fit without each fold in turn and score that fold.

    Args:
        statistics: of all rows.
        fit: the whole fit, choices and all, on the rows it is given.

    Returns:
        The held-out cosines and the folds' fits.
    """
    cosines = np.empty(len(statistics))
    weightings = []
    for fold in range(statistics.folds):
        held_out = statistics.fold == fold
        weighting = fit(np.flatnonzero(~held_out), fold)
        rows = np.flatnonzero(held_out)
        cosines[rows] = weighting_cosines(statistics, weighting, rows, fold)
        weightings.append(weighting)
    return Nested(cosines=cosines, weightings=tuple(weightings))
