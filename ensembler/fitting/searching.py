"""One whole search, on all rows or on those left when a fold is held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Problem
from ensembler.blending.solver import normalise, solve
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.evaluation.nested import Nested, nested_cosines
from ensembler.fitting.inputs import Progress
from ensembler.search.record import Record
from ensembler.search.run import Outcome, run_study
from ensembler.search.scoring import Scorer
from ensembler.search.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutSearch:
    """The search repeated without each fold in turn.

    Attributes:
        nested: held-out cosines and the folds' weightings.
        statuses: how the solver ended for each fold's best trial, by name.
    """

    nested: Nested
    statuses: tuple[str, ...]


def search(
    space: Space,
    statistics: Statistics,
    rows: NDArray[np.int64],
    held_out: int | None,
    *,
    record: Record | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Outcome:
    """Run the study on some rows.

    Args:
        space: what is searched.
        statistics: of all rows.
        rows: (n,) int64, ascending.
        held_out: the fold whose targets no prior may know, or None.
        record: where trials are kept.
        jobs: threads over the trials of a batch.
        progress: told of each trial.
    """
    definition = space.definition
    scorer = Scorer(
        statistics,
        rows,
        held_out,
        columns=space.columns,
        bounds=definition.bounds,
        seed=definition.seed,
        jobs=jobs,
    )
    return run_study(
        space,
        scorer,
        record=record,
        on_trial=progress and (lambda t: progress("study", t.index + 1, definition.trials)),
    )


def search_held_out(
    space: Space, statistics: Statistics, *, jobs: int, progress: Progress | None
) -> HeldOutSearch | None:
    """Repeat the whole search without each fold, and score that fold.

    Args:
        space: what is searched.
        statistics: of all rows.
        jobs: threads over the trials of a batch.
        progress: told of each fold.

    Returns:
        The held-out cosines; None when the study's validation is "none".
    """
    if space.definition.validation == "none":
        return None
    statuses: list[str] = []

    def fit(rows: NDArray[np.int64], held_out: int | None) -> Weighting:
        outcome = search(space, statistics, rows, held_out, jobs=jobs)
        statuses.append(outcome.status)
        if progress is not None:
            progress("held out", len(statuses), statistics.folds)
        return outcome.weighting

    nested = nested_cosines(statistics, fit)
    return HeldOutSearch(nested=nested, statuses=tuple(statuses))


def without_member(space: Space, weighting: Weighting, problem: Problem, member: int) -> Weighting:
    """A blend without one member: the others' weights solved again where the study solves them.

    Args:
        space: of the study.
        weighting: the blend; its centring and norms are kept.
        problem: the blend's own, on the rows to solve on.
        member: position among the statistics' members.
    """
    weights = np.array(weighting.weights)
    weights[1 + member] = 0.0
    columns = space.columns
    columns[1 + member] = False
    if space.definition.weights == "exact" and columns.any():
        bounds, warm = space.definition.bounds, weights * problem.scale
        weights = solve(problem, columns, bounds=bounds, warm=warm).weights
    elif weights.any():
        weights = normalise(weights, space.definition.bounds)
    return Weighting(
        centred=weighting.centred, alphas=weighting.alphas, weights=tuple(weights.tolist())
    )
