"""One whole search, on all rows or on those left when folds are held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Problem
from ensembler.blending.solver import normalise, solve
from ensembler.blending.statistics import HeldOut, Statistics
from ensembler.blending.weighting import Weighting
from ensembler.search.record import Record
from ensembler.search.run import Outcome, run_study
from ensembler.search.scoring import Scorer
from ensembler.search.space import Space

Progress = Callable[[str, int, int], None]  # stage, done so far, of how many

# What a last step may promise, in score, to be taken on trust: where weights only serve to be
# scored, in repeats and in losses. The fit's own are frozen to nine digits and looked at, as far as
# float32 can show anything.
TRUST = 1e-6


def search(
    space: Space,
    statistics: Statistics,
    rows: NDArray[np.int64],
    held_out: HeldOut,
    *,
    record: Record | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    whole: Scorer | None = None,
) -> Outcome:
    """Run the study on some rows.

    Args:
        space: what is searched.
        statistics: of all rows.
        rows: (n,) int64, ascending.
        held_out: the folds whose targets no prior may know; None for none.
        record: where trials are kept.
        jobs: threads over the trials of a batch.
        progress: told of each trial.
        whole: from `scorer_of_all`, or None: scores where nothing is held out, and otherwise
            spares half the work of making problems.
    """
    trials = space.definition.trials
    scorer = whole
    if scorer is None or held_out is not None:
        trust = 0.0 if held_out is None else TRUST
        scorer = _scorer(space, statistics, rows, held_out, jobs=jobs, trust=trust, whole=whole)
    return run_study(
        space,
        scorer,
        record=record,
        on_trial=progress and (lambda t: progress("study", t.index + 1, trials)),
    )


def scorer_of_all(space: Space, statistics: Statistics, *, jobs: int = 1) -> Scorer:
    """What scores on all rows, and lends its problems to the repeats if there are any."""
    repeated = space.definition.validation != "none"
    rows = np.arange(len(statistics))
    return _scorer(space, statistics, rows, None, jobs=jobs, to_cut=repeated)


def _scorer(
    space: Space,
    statistics: Statistics,
    rows: NDArray[np.int64],
    held_out: HeldOut,
    **settings: Any,  # noqa: ANN401 - as Scorer takes them
) -> Scorer:
    definition = space.definition
    return Scorer(
        statistics,
        rows,
        held_out,
        columns=space.columns,
        bounds=definition.bounds,
        seed=definition.seed,
        **settings,
    )


def without_member(
    space: Space, weighting: Weighting, problem: Problem, member: int | NDArray[np.int64]
) -> Weighting:
    """A blend without some member: the others' weights solved again where the study solves them.

    Args:
        space: of the study.
        weighting: the blend; its centring and norms are kept.
        problem: the blend's own, on the rows to solve on.
        member: position, or positions, among the statistics' members.
    """
    weights = np.array(weighting.weights)
    weights[1 + member] = 0.0
    columns = space.columns
    columns[1 + member] = False
    if space.definition.weights == "exact" and columns.any():
        bounds, warm = space.definition.bounds, weights * problem.scale
        weights = solve(problem, columns, bounds=bounds, warm=warm, trust=TRUST).weights
    elif weights.any():
        weights = normalise(weights, space.definition.bounds)
    return Weighting(
        centred=weighting.centred, alphas=weighting.alphas, weights=tuple(weights.tolist())
    )
