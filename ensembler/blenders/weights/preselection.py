"""A few of many members: forward selection, weights solved again at every step.

The first is the best by itself. Each step then adds the member along which the mean cosine rises
fastest at the optimum of those already taken, as orthogonal matching pursuit does (Pati,
Rezaiifar & Krishnaprasad 1993). Of the cosines between members it reads those of the taken ones
with all: K·M numbers per row for K of M.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.weights.fitted import rows_to_fit
from ensembler.blending.greedy import foremost, places_by_name
from ensembler.blending.objective import row_slopes
from ensembler.blending.pairs import KnownPairs, Pairs
from ensembler.blending.problem import BLOCK, Problem, Selection, prior_cosines, prior_of
from ensembler.blending.solver import solve
from ensembler.blending.statistics import Geometry
from ensembler.search.space import Space


def forward_selection(data: Data, held_out: HeldFolds, limit: int) -> NDArray[np.int64]:
    """The members that a blend of a few should have.

    All are at unit length, centred where the study allows it.

    Args:
        data: to choose on.
        held_out: folds whose targets nothing may know.
        limit: how many at most, at least one.

    Returns:
        (k,) int64 ascending positions among the members; fewer than `limit` where no member's
        direction raises the score any more, the first by name where none has a training row.

    Raises:
        StoreError: no training row has weight.
    """
    pairs = KnownPairs(data.statistics.geometry(selects_centred(data.space)))
    return forward_selections(data, [held_out], limit, pairs)[0]


def forward_selections(
    data: Data,
    held_out: Sequence[HeldFolds],
    limit: int,
    pairs: Pairs,
    on_step: Callable[[int], None] | None = None,
) -> list[NDArray[np.int64]]:
    """Several selections, step by step together, so that they prepare their pairs together.

    Args:
        data: to choose on; its statistics may be without pairs.
        held_out: of each selection, as in `forward_selection`.
        limit: as there.
        pairs: of the same members, centred as `selects_centred` says.
        on_step: called with the number of steps done.
    """
    places = places_by_name(data.names)[1:]
    selections = [_Few(data, folds, pairs) for folds in held_out]
    for step in range(limit):
        wanted = [(few, few.rising()) for few in selections]
        steps = [(few, foremost(up, places)) for few, up in wanted if np.isfinite(up.max())]
        pairs.prepare(member for _, member in steps)
        for few, member in steps:
            few.take(member)
        if on_step is not None:
            on_step(step + 1)
    none = np.flatnonzero(places <= limit)
    return [np.sort(few.taken) if few.taken else none for few in selections]


def selects_centred(space: Space) -> bool:
    """Whether members stand less their means while they are selected."""
    return space.centrings[-1]


class _Few:
    """The members taken so far on the training rows, their best weights, and the others' promise.

    Args:
        data: as in `forward_selection`.
        held_out: as there.
        pairs: as there.
    """

    def __init__(self, data: Data, held_out: HeldFolds, pairs: Pairs) -> None:
        self.taken = list[int]()
        self._statistics, self._space, self._held_out = data.statistics, data.space, held_out
        self._centred, self._pairs = selects_centred(data.space), pairs
        self._geometry = data.statistics.geometry(self._centred)
        self._rows = rows_to_fit(data, held_out)
        self._weights = np.array([float(data.space.definition.prior)])
        self._between: dict[tuple[int, int], NDArray[np.floating]] = {}  # by order of taking

    def rising(self) -> NDArray[np.float64]:
        """(M,) how much each member promises if it is taken next; -inf where nothing."""
        return self._steepness() if self.taken else self._alone()

    def _alone(self) -> NDArray[np.float64]:
        """(M,) the score of each member by itself; -inf where it has no row."""
        share = self._statistics.weight[self._rows]
        total = np.zeros(len(self._statistics.names))
        covered = np.zeros(len(total), dtype=bool)
        for part, rows in self._parts():
            present = self._geometry.lengths[rows] > 0.0
            prior = prior_cosines(self._statistics, rows, self._held_out)
            total += share[part] @ np.where(present, self._geometry.cross[rows], prior[:, None])
            covered |= present.any(axis=0)
        return np.where(covered, total / share.sum(), -np.inf)

    def take(self, member: int) -> None:
        """Take one more member and solve the weights again, from those of the others."""
        pairs = [self._pairs.between(member, rows)[:, self.taken] for _, rows in self._parts()]
        for place, cosines in enumerate(np.concatenate(pairs).T):
            self._between[place, len(self.taken)] = cosines
        self.taken.append(member)
        problem = self._problem()
        columns = np.ones(problem.columns, dtype=bool)
        columns[0] = self._space.definition.prior
        warm = np.r_[self._weights, 0.0] if len(self.taken) > 1 else None
        bounds = self._space.definition.bounds
        self._weights = solve(problem, columns, bounds=bounds, warm=warm).scaled
        self._slopes = row_slopes(problem, self._weights)

    def _steepness(self) -> NDArray[np.float64]:
        """(M,) how fast the score rises along each member; -inf where it is taken or falls."""
        rise = np.zeros(len(self._statistics.names))
        for part, rows in self._parts():
            cross, gram = (slopes[part] for slopes in self._slopes)
            prior = prior_of(self._statistics, rows, self._held_out, centred=self._centred)
            rise += cross @ self._geometry.cross[rows] - self._weights[0] * (prior.cosines @ gram)
            for weight, member in zip(self._weights[1:], self.taken, strict=True):
                rise -= weight * (gram @ self._pairs.between(member, rows))
        if self._space.definition.bounds == "free":
            rise = np.abs(rise)
        rise[self.taken] = 0.0
        return np.where(rise > 0.0, rise, -np.inf)

    def _parts(self) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """The training rows a block at a time: where among them, and where among all."""
        for start in range(0, len(self._rows), BLOCK):
            part = slice(start, start + BLOCK)
            yield part, self._rows[part]

    def _problem(self) -> Problem:
        """The problem of the members taken, on the training rows alone."""
        whole, rows, count = self._statistics, self._rows, len(self.taken)
        here = np.ix_(rows, np.array(self.taken))
        between = [self._between[pair] for pair in combinations(range(count), 2)]
        geometry = Geometry(
            cosines=np.stack(between, axis=1) if between else np.zeros((len(rows), 0), np.float32),
            cross=self._geometry.cross[here],
            lengths=self._geometry.lengths[here],
            fold_cosines=self._geometry.fold_cosines[here],
        )
        statistics = replace(
            whole,
            names=tuple(whole.names[member] for member in self.taken),
            weight=whole.weight[rows],
            fold=whole.fold[rows],
            means=whole.means[self.taken],
            target_cosines=whole.target_cosines[rows],
            raw=geometry,
            centred=geometry,
        )
        selection = Selection(
            statistics=statistics,
            rows=np.arange(len(rows)),
            held_out=self._held_out,
            centred=self._centred,
        )
        return Problem(selection=selection, alphas=np.ones(count))
