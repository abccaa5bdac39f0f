"""A few of many members: forward selection, weights solved again at every step.

The first is the best by itself. Each step then adds the member along which the mean cosine rises
fastest at the optimum of those already taken, as orthogonal matching pursuit does (Pati,
Rezaiifar & Krishnaprasad 1993). It reads the full statistics: a step is one pass for the gradient
and some three for the weights, all over M(M+1)/2 numbers a row.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Aside, Data
from ensembler.blenders.weights import training_problem
from ensembler.blending.greedy import foremost, places_by_name
from ensembler.blending.objective import expand, scores
from ensembler.blending.solver import solve
from ensembler.blending.statistics import Geometry, Statistics
from ensembler.search.space import Space


def forward_selection(data: Data, aside: Aside, limit: int) -> NDArray[np.int64]:
    """The members that a blend of a few should have.

    All are at unit length, centred where the study allows it.

    Args:
        data: what to choose on.
        aside: folds whose targets nothing may know.
        limit: how many at most, at least one.

    Returns:
        (k,) int64 ascending positions among the members; fewer than `limit` where no member's
        direction raises the score any more, the first by name where none has a training row.
    """
    space, count = data.space, len(data.names)
    problem = training_problem(data, aside, centred=space.centrings[-1], alphas=(1.0,) * count)
    allowed = space.columns & problem.covered
    bounds, places = space.definition.bounds, places_by_name(problem)
    taken = np.zeros(1 + count, dtype=bool)
    taken[0] = allowed[0]
    rising = np.where(allowed, scores(problem, np.eye(1 + count)), -np.inf)  # the first: by itself
    rising[0] = -np.inf
    here: NDArray[np.float64] | None = None
    while np.isfinite(rising.max()) and taken[1:].sum() < limit:
        taken[foremost(rising, places)] = True
        here = solve(problem, taken, bounds=bounds, warm=here).scaled
        gradient = expand(problem, here).gradient
        steepness = np.abs(gradient) if bounds == "free" else gradient
        rising = np.where(allowed & ~taken & (steepness > 0.0), steepness, -np.inf)
    if not taken[1:].any():
        taken[1:] = places[1:] <= limit
    return np.flatnonzero(taken[1:])


def of_members(data: Data, chosen: NDArray[np.int64]) -> Data:
    """The data of some members alone.

    Args:
        data: of all.
        chosen: (k,) int64, ascending positions.
    """
    names = [data.names[m] for m in chosen]
    groups = {
        group: kept
        for group, members in data.space.groups.items()
        if (kept := tuple(name for name in members if name in names))
    }
    return replace(
        data,
        statistics=_statistics_of(data.statistics, chosen),
        space=Space(definition=data.space.definition, groups=groups, names=tuple(names)),
    )


def _statistics_of(statistics: Statistics, chosen: NDArray[np.int64]) -> Statistics:
    first, second = np.triu_indices(len(statistics.names), 1)
    pairs = np.flatnonzero(np.isin(first, chosen) & np.isin(second, chosen))

    def part(geometry: Geometry) -> Geometry:
        return Geometry(
            cosines=geometry.cosines[:, pairs],
            cross=geometry.cross[:, chosen],
            lengths=geometry.lengths[:, chosen],
            fold_cosines=geometry.fold_cosines[:, chosen],
        )

    return replace(
        statistics,
        names=tuple(statistics.names[m] for m in chosen),
        means=statistics.means[chosen],
        raw=part(statistics.raw),
        centred=part(statistics.centred),
    )
