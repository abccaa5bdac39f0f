"""Blends of one series, as of so many members or seconds, each against the best of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.scoring.intervals import GroupBootstrap, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The held-out score of one blend of a series.

    Attributes:
        score: mean cosine.
        interval: of the score.
        behind: what the best of the series scores more.
        within_error: whether that is no more than its standard error.
    """

    score: float
    interval: Interval
    behind: float
    within_error: bool


def measure(
    cosines: Sequence[NDArray[np.float64]],
    groups: NDArray[np.str_],
    weight: NDArray[np.float64],
    seed: int,
) -> list[Measured]:
    """Measure the blends of a series on the same rows.

    Args:
        cosines: of each, (rows,) float64, held out.
        groups: (rows,) text.
        weight: (rows,) float64.
        seed: of the intervals.
    """
    bootstrap = GroupBootstrap(groups, weight, seed)
    best = max(cosines, key=bootstrap.mean)
    return [
        Measured(
            score=bootstrap.mean(own),
            interval=bootstrap.interval(own),
            behind=bootstrap.mean(best - own),
            within_error=bootstrap.mean(best - own) <= bootstrap.standard_error(best - own),
        )
        for own in cosines
    ]
