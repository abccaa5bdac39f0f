"""Greedy selection with replacement (Caruana et al., Ensemble Selection, ICML 2004).

Starting from nothing, each round adds the member, again if need be, that lifts the mean cosine of
the sum most; a member's weight is how often it was taken. The best round counts, not the last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.objective import scores
from ensembler.blending.problem import Rows

ROUNDS = 50  # weights are multiples of 1/50 at the finest
PATIENCE = 10  # rounds without a gain after which none is expected


def greedy_selection(problem: Rows, columns: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights by greedy forward selection with replacement.

    Args:
        problem: rows, centring and norms.
        columns: (K,) which columns may be taken; at least one.

    Returns:
        (K,) float64 in units of the columns' scale, nonnegative with sum 1; ties go to the earlier
        column.
    """
    steps = np.eye(problem.columns)[columns]
    taken = np.zeros(problem.columns)
    best, best_value, best_round = steps[0], -np.inf, 0
    for number in range(ROUNDS):
        values = scores(problem, taken + steps)
        choice = int(values.argmax())
        taken = taken + steps[choice]
        if values[choice] > best_value:
            best, best_value, best_round = taken, values[choice], number
        elif number - best_round >= PATIENCE:
            break
    return np.asarray(best / best.sum())
