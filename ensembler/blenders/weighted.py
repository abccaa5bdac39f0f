"""The exact weights: the study's search on the training rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.spelling import spell
from ensembler.blenders.weights.budget import affordable_members, columns_within
from ensembler.blenders.weights.fitted import (
    FittedWeights,
    Rule,
    Solved,
    fit_weights,
    rows_to_fit,
    weighted_blend,
)
from ensembler.blenders.weights.preselection import forward_selection
from ensembler.blenders.weights.shrinkage import choose_shrinkage, shrinkage_rule
from ensembler.blenders.weights.subset import of_members
from ensembler.blenders.weights.worst_source import WorstSource, worst_source_rule
from ensembler.blending.problem import Problem
from ensembler.blending.solver import solve
from ensembler.blending.weighting import Weighting
from ensembler.errors import InputError
from ensembler.search.run import Outcome
from ensembler.search.searching import search


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """Centring and norms by the study, weights by the exact solver.

    Attributes:
        shrinkage: the share of the way to equal weights, in 0..1; "auto" lets inner folds choose,
            None leaves the weights as they are solved.
        objective: what weights are solved for; centring and norms are always the mean's.
        members_at_most: how many members a forward selection leaves to the study; None for all.
        budget: seconds per image that the members may take together: the best subset is chosen,
            under the centring and norms of all that fit by themselves; None for any.
    """

    shrinkage: float | Literal["auto"] | None = None
    objective: Literal["mean"] | WorstSource = "mean"
    members_at_most: int | None = None
    budget: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.shrinkage, float | int) and not 0.0 <= self.shrinkage <= 1.0:
            raise InputError(
                f"weighted: shrinkage is {self.shrinkage}; give a share of the way in 0..1, or auto"
            )
        if self.members_at_most is not None and self.members_at_most < 1:
            raise InputError(f"weighted: members_at_most is {self.members_at_most}; give 1 or more")

    @property
    def name(self) -> str:
        return spell("weighted", self)

    @property
    def properties(self) -> frozenset[Property]:
        """All of them as long as no option works against it."""
        if self == Weighted():
            return frozenset(Property)
        return frozenset({Property.SCALE_INVARIANT})

    @property
    def fallback(self) -> str:
        """Greedy selection, save where the mean of all members is not what is sought."""
        sought = self.objective == "mean" and self.members_at_most is None
        return "greedy" if sought else "single_best"

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        """Choose the members, search their centring and norms, and solve for their weights.

        Raises:
            InputError: no member fits into the budget, or a member's seconds are not known.
            StoreError: no training row has weight, or the objective is a source's and all samples
                are of one source.
        """
        chosen = np.arange(len(data.names))
        if self.budget is not None:
            chosen = np.flatnonzero(affordable_members(data.store, data.names, self.budget))
        if self.members_at_most is not None and self.members_at_most < len(chosen):
            few = forward_selection(of_members(data, chosen), held_out, self.members_at_most)
            chosen = chosen[few]
        outcome = _searched(data, chosen, held_out, seed)
        weighting = _among_all(outcome.weighting, chosen, len(data.names))
        columns = data.space.columns
        columns[1:] &= np.isin(np.arange(len(data.names)), chosen)
        bounds = data.space.definition.bounds
        rule = _solving(data, weighting, columns, seed)
        fitted = FittedWeights(
            weighting=weighting,
            blend=weighted_blend(data.statistics, weighting),
            rule=rule,
            status=outcome.status,
            objective=outcome.best.value,
            evaluations=len(outcome.trials),  # each a pass or more
        )
        centred, alphas = weighting.centred, weighting.alphas
        if self.budget is not None:
            columns = columns_within(data, held_out, weighting, columns, self.budget)
            rule = _solving(data, weighting, columns, seed)
            fitted = fit_weights(data, held_out, rule, centred=centred, alphas=alphas)
        if self.objective != "mean":
            rule = worst_source_rule(data, rule, self.objective, columns, bounds)
            fitted = fit_weights(data, held_out, rule, centred=centred, alphas=alphas)
        if self.shrinkage is not None:
            share = self.shrinkage
            if share == "auto":
                share = choose_shrinkage(data, held_out, fitted, columns)
            if share > 0.0:
                rule = shrinkage_rule(rule, share, columns, bounds)
                fitted = fit_weights(data, held_out, rule, centred=centred, alphas=alphas)
        return fitted


def _searched(data: Data, chosen: NDArray[np.int64], held_out: HeldFolds, seed: int) -> Outcome:
    """Search the study for some members on the training rows."""
    part = data if len(chosen) == len(data.names) else of_members(data, chosen)
    definition = part.space.definition.model_copy(update={"seed": seed})
    space = replace(part.space, definition=definition)
    rows = rows_to_fit(data, held_out)
    # None where nothing is held out: the fit on all rows is solved to the last digit.
    return search(space, part.statistics, rows, held_out or None, jobs=data.jobs)


def _among_all(weighting: Weighting, chosen: NDArray[np.int64], count: int) -> Weighting:
    """Some members' weighting as one of all; the others have no weight."""
    weights, alphas = np.zeros(1 + count), np.ones(count)
    weights[0], weights[1:][chosen] = weighting.weights[0], weighting.weights[1:]
    alphas[chosen] = weighting.alphas
    return replace(weighting, alphas=tuple(alphas.tolist()), weights=tuple(weights.tolist()))


def _solving(data: Data, weighting: Weighting, columns: NDArray[np.bool_], seed: int) -> Rule:
    """Weights solved from those that the study found; a study of fixed weights keeps them.

    They are near the optimum of any other choice of most folds, so one start serves.
    """
    definition, found = data.space.definition, np.where(columns, weighting.weights, 0.0)

    def solved(problem: Problem) -> Solved:
        covered = columns & problem.covered
        if definition.weights == "fixed" or not covered.any():
            return Solved(found)
        solution = solve(
            problem, covered, bounds=definition.bounds, seed=seed, warm=found * problem.scale
        )
        return Solved(solution.weights, solution.status.name, solution.evaluations)

    return solved
