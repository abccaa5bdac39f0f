"""Paths to fewer members: the weakest dropped one by one, or the strongest taken.

A path is walked on the training rows of each fold and scored on the fold, so that the order is as
honest as the weights: the score of k members is that of k members chosen without the rows that
score them. The blend's centring and norms stay; weights are solved again at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blending.problem import Problem
from ensembler.blending.solver import Bounds, Solution, solve
from ensembler.blending.weighting import Weighting, weighting_cosines
from ensembler.evaluation.estimate import PlainWeights
from ensembler.evaluation.series import Measured, measure

LIKELY = 5  # members whose absence is tried at a step: those of the smallest weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A number of members on a path.

    Attributes:
        members: how many.
        name: the member that the path on all rows drops to come here, or takes; None at its start.
        held_out: what as many members are worth, chosen without each fold.
    """

    members: int
    name: str | None
    held_out: Measured


class Stage(NamedTuple):
    """One stage of a path.

    Attributes:
        member: position of the one dropped or taken last; None at the start.
        members: how many are left, or taken.
        solution: with them.
    """

    member: int | None
    members: int
    solution: Solution


Walker = Callable[[Problem, NDArray[np.bool_], Bounds], list[Stage]]


def drop_weakest(problem: Problem, columns: NDArray[np.bool_], bounds: Bounds) -> list[Stage]:
    """From all members to one: each step drops the one whose absence costs least.

    Args:
        problem: rows, centring and norms.
        columns: (K,) which columns may have weight.
        bounds: of the weights.

    Returns:
        All members, then each stage with one less.
    """
    left = columns.copy()
    path = [Stage(None, int(left[1:].sum()), _solved(problem, left, bounds))]
    while path[-1].members > 1:
        now, tried = path[-1].solution.scaled, {}
        for member in sorted(np.flatnonzero(left[1:]), key=lambda m: abs(now[1 + m]))[:LIKELY]:
            fewer = _with(left, int(member), allowed=False)
            warm = np.where(fewer, now, 0.0)
            tried[int(member)] = _solved(problem, fewer, bounds, warm)
        weakest = _best(tried)
        left = _with(left, weakest, allowed=False)
        path.append(Stage(weakest, path[-1].members - 1, tried[weakest]))
    return path


def take_strongest(problem: Problem, columns: NDArray[np.bool_], bounds: Bounds) -> list[Stage]:
    """From one member to all: each step takes the one that adds most.

    Args:
        problem: rows, centring and norms.
        columns: (K,) which columns may have weight.
        bounds: of the weights.

    Returns:
        Each stage with one more.
    """
    taken = np.zeros_like(columns)
    taken[0] = columns[0]
    path: list[Stage] = []
    while (columns & ~taken).any():
        tried = {}
        for member in np.flatnonzero((columns & ~taken)[1:]):
            more = _with(taken, int(member), allowed=True)
            warm = _nudged(path[-1].solution.scaled, 1 + int(member)) if path else None
            tried[int(member)] = _solved(problem, more, bounds, warm)
        strongest = _best(tried)
        taken = _with(taken, strongest, allowed=True)
        path.append(Stage(strongest, len(path) + 1, tried[strongest]))
    return path


def walk(walker: Walker, data: Data, weights: PlainWeights, seed: int) -> tuple[Step, ...]:
    """A path on all rows, each of its steps measured by paths without each fold.

    Args:
        walker: `drop_weakest` or `take_strongest`.
        data: under the folds of the weights.
        weights: the blend's, whose centring and norms each path keeps.
        seed: of the intervals.
    """
    statistics = data.statistics
    whole = _walked(walker, data, weights.on_all, NONE_HELD_OUT)
    cosines = np.zeros((len(whole), len(statistics)))
    for fold, weighting in enumerate(weights.without):
        held_out, rows = frozenset({fold}), data.fold_rows(fold)
        for step, stage in enumerate(_walked(walker, data, weighting, held_out)):
            again = replace(weighting, weights=tuple(stage.solution.weights.tolist()))
            cosines[step, rows] = weighting_cosines(statistics, again, rows, held_out)
    measured = measure(list(cosines), data.store.samples.group, statistics.weight, seed)
    return tuple(
        Step(
            members=stage.members,
            name=None if stage.member is None else statistics.names[stage.member],
            held_out=worth,
        )
        for stage, worth in zip(whole, measured, strict=True)
    )


def _walked(walker: Walker, data: Data, weighting: Weighting, held_out: HeldFolds) -> list[Stage]:
    problem = training_problem(data, held_out, centred=weighting.centred, alphas=weighting.alphas)
    return walker(problem, data.space.columns, data.space.definition.bounds)


def _solved(
    problem: Problem,
    columns: NDArray[np.bool_],
    bounds: Bounds,
    warm: NDArray[np.float64] | None = None,
) -> Solution:
    """The best weights of some columns; a member without a row gets none, though it counts as one.

    Nothing moves the weight that it starts with: it has no gradient.
    """
    covered = columns & problem.covered
    return solve(problem, covered if covered.any() else columns, bounds=bounds, warm=warm)


def _best(tried: Mapping[int, Solution]) -> int:
    return max(tried, key=lambda member: tried[member].value)


def _with(columns: NDArray[np.bool_], member: int, *, allowed: bool) -> NDArray[np.bool_]:
    """Columns with one member's changed."""
    changed = columns.copy()
    changed[1 + member] = allowed
    return changed


def _nudged(scaled: NDArray[np.float64], column: int) -> NDArray[np.float64]:
    """Weights with a tenth given to another column: a start from which it can grow."""
    nudged = scaled * 0.9
    nudged[column] += 0.1
    return nudged
