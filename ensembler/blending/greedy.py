"""Greedy selection with replacement (Caruana et al., Ensemble Selection, ICML 2004).

Starting from nothing, each round adds the member, again if need be, that lifts the mean cosine of
the sum most; a member's weight is how often it was taken. The best round counts, not the last.

Scores that float32 cannot tell apart tie. Where ties go by name, members in another order give the
same selection, not another that follows from the last digit of one round.

The products of all columns with the sum are kept from round to round, so that a round costs K
numbers a row, not K(K+1)/2: `s + e_k` has the square `s·s + 2 s·e_k + e_k·e_k`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Block, Rows, packed_pairs
from ensembler.blending.rules import CANCELLED
from ensembler.blending.solver import TIE

ROUNDS = 50  # weights are multiples of 1/50 at the finest
PATIENCE = 10  # rounds without a gain after which none is expected


def greedy_selection(
    problem: Rows,
    columns: NDArray[np.bool_],
    start: NDArray[np.float64] | None = None,
    places: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    """Weights by greedy forward selection with replacement.

    Args:
        problem: rows, centring and norms.
        columns: (K,) which columns may be taken; at least one.
        start: (K,) how often each column is taken before the first round; None for an empty sum.
        places: (K,) where each column stands among those that tie; None for their own order.

    Returns:
        (K,) float64 in units of the columns' scale, nonnegative with sum 1.
    """
    allowed = np.flatnonzero(columns)
    order = allowed if places is None else places[allowed]
    taken = np.zeros(problem.columns) if start is None else start
    sums = [_Sum(block, taken) for block in problem.blocks()]
    best, best_value, best_round = taken, -np.inf, 0
    if start is not None:
        best_value = sum(s.value(b) for s, b in zip(sums, problem.blocks(), strict=True))
    added: int | None = None
    for number in range(ROUNDS):
        values = np.zeros(len(allowed))
        for block_sum, block in zip(sums, problem.blocks(), strict=True):
            if added is not None:
                block_sum.add(block, added, 1.0)
            values += block_sum.values_with(block, allowed)
        chosen = foremost(values, order)
        added = int(allowed[chosen])
        taken = taken + np.eye(problem.columns)[added]
        if values[chosen] > best_value + TIE:
            best, best_value, best_round = taken, values[chosen], number
        elif number - best_round >= PATIENCE:
            break
    return np.asarray(best / best.sum())


def places_by_name(names: Sequence[str]) -> NDArray[np.intp]:
    """(K,) where each column stands among those that tie: the prior, then the members by name.

    Args:
        names: of the M members, in the order of the columns.
    """
    return np.asarray(np.r_[0, 1 + np.argsort(np.argsort(names))])


def foremost(values: NDArray[np.float64], places: NDArray[np.intp]) -> int:
    """Which value is the highest; of those that tie with it, the first in place.

    Args:
        values: (k,) one at least, scores.
        places: (k,) of each.
    """
    close = np.flatnonzero(values >= np.max(values) - TIE)
    return int(close[places[close].argmin()])


class _Sum:
    """One block's rows of the columns taken so far; all (n,) or (K, n) float64.

    Args:
        block: the rows; given anew to each method, so that none but small problems are held.
        taken: (K,) how often each column is taken.
    """

    def __init__(self, block: Block, taken: NDArray[np.float64]) -> None:
        columns, rows = block.cross.shape
        first, second = packed_pairs(columns)
        self._pair = np.empty((columns, columns), dtype=np.intp)
        self._pair[first, second] = self._pair[second, first] = np.arange(len(first))
        self._products = np.zeros((columns, rows))  # of each column with the sum
        self._square, self._along, self._parts = np.zeros((3, rows))
        self._covered = np.zeros(rows, dtype=bool)  # by a member
        for column in np.flatnonzero(taken):
            self.add(block, int(column), float(taken[column]))

    def add(self, block: Block, column: int, times: float) -> None:
        """Take a column."""
        self._square += times * (2.0 * self._products[column] + times * block.gram[column])
        self._products += times * block.gram[self._pair[column]]
        self._along += times * block.cross[column]
        self._parts += times * block.lengths[column]
        if column:
            self._covered |= block.lengths[column] > 0.0

    def value(self, block: Block) -> float:
        """The rows' part of the mean cosine of the sum as it is."""
        cosine = _cosines(self._along, self._square, self._parts)
        return float(np.where(self._covered, cosine, block.fallback) @ block.share)

    def values_with(self, block: Block, columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """(k,) the rows' part of the mean cosine of the sum and one of some columns."""
        cosine = _cosines(
            self._along + block.cross[columns],
            self._square + 2.0 * self._products[columns] + block.gram[columns],
            self._parts + block.lengths[columns],
        )
        if not self._covered.all():
            covered = self._covered | ((block.lengths[columns] > 0.0) & (columns > 0)[:, None])
            cosine = np.where(covered, cosine, block.fallback)
        return np.asarray(cosine @ block.share)


def _cosines(
    along: NDArray[np.float64], square: NDArray[np.float64], parts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The sums' cosines with the target; 0 where the parts have cancelled."""
    length = np.sqrt(np.maximum(square, 0.0))
    alive = length > CANCELLED * parts
    length[~alive] = 1.0
    return np.asarray(along * alive / length)
