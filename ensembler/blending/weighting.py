"""A plain weighted blend in Gram space: centring, norms and weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.objective import row_cosines
from ensembler.blending.problem import Problem, Selection
from ensembler.blending.statistics import HeldOut, Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """What a search decides; M members.

    Attributes:
        centred: whether members stand less their means.
        alphas: M exponents of the norms: 0 none, 1 l2.
        weights: 1 + M weights, the prior's first.
    """

    centred: bool
    alphas: tuple[float, ...]
    weights: tuple[float, ...]


def weighting_problem(
    statistics: Statistics,
    weighting: Weighting,
    rows: NDArray[np.int64],
    held_out: HeldOut,
) -> Problem:
    """The problem whose weights a blend solves: its centring and norms on some rows.

    Args:
        statistics: of all rows.
        weighting: for the statistics' members.
        rows: (n,) int64, ascending.
        held_out: the folds whose targets no prior may know; None for none.
    """
    selection = Selection(
        statistics=statistics, rows=rows, held_out=held_out, centred=weighting.centred
    )
    return Problem(selection=selection, alphas=np.array(weighting.alphas))


def weighting_cosines(
    statistics: Statistics,
    weighting: Weighting,
    rows: NDArray[np.int64],
    held_out: HeldOut,
) -> NDArray[np.float64]:
    """The cosine of each row with its target under a weighted blend.

    Args:
        statistics: of all rows.
        weighting: for the statistics' members.
        rows: (n,) int64, ascending.
        held_out: the folds whose targets no prior may know; None for none.

    Returns:
        (n,) float64, in the order of `rows`.
    """
    problem = weighting_problem(statistics, weighting, rows, held_out)
    return row_cosines(problem, np.array(weighting.weights) * problem.scale)
