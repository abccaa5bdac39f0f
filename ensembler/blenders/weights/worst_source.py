"""Weights that do well on the source of rows where the blend does worst."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blenders.weights.fitted import Rule, Solved
from ensembler.blending.minimax import maximise_worst
from ensembler.blending.problem import Problem
from ensembler.blending.solver import Bounds, normalise
from ensembler.errors import StoreError

WorstSource = Literal["worst_source", "soft_worst_source"]

# How much more a source may score until it counts e times less. The hard minimum is this close.
TEMPERATURE: dict[WorstSource, float] = {"worst_source": 1e-4, "soft_worst_source": 1e-2}


def worst_source_rule(
    data: Data, rule: Rule, objective: WorstSource, columns: NDArray[np.bool_], bounds: Bounds
) -> Rule:
    """The rule that starts from another's weights and climbs for the worst source.

    Args:
        data: whose samples have sources.
        rule: for the mean over all rows.
        objective: the worst source's mean cosine or its soft minimum.
        columns: (K,) which columns may have weight.
        bounds: of the weights.

    Raises:
        StoreError: all samples are of one source.
    """
    source = data.store.samples.source
    if len(np.unique(source)) < 2:
        only = f"source {str(source[0])!r}" if source[0] else "one unnamed source"
        raise StoreError(
            f"{data.store.path}: all samples are of {only}, so there is no worst one; give samples"
            " a source, or take the objective `mean`"
        )

    def climb(problem: Problem) -> Solved:
        solved = rule(problem)
        selection = problem.selection
        own = source[selection.rows]
        weight = data.statistics.weight[selection.rows]
        parts = [
            _of_rows(problem, own == name)
            for name in np.unique(own)
            if weight[own == name].sum() > 0.0
        ]
        start = np.where(columns & problem.covered, solved.weights * problem.scale, 0.0)
        if not parts or not start.any():
            return solved
        found = maximise_worst(
            parts,
            problem.scale,
            start,
            columns & problem.covered,
            temperature=TEMPERATURE[objective],
            bounds=bounds,
        )
        return Solved(
            normalise(found.scaled / problem.scale, bounds),
            found.status.name,
            solved.evaluations + found.evaluations,
        )

    return climb


def _of_rows(problem: Problem, some: NDArray[np.bool_]) -> Problem:
    whole = problem.selection
    return replace(problem, selection=replace(whole, rows=whole.rows[some]))
