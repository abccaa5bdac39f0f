"""Weights as a fitted blend: a centring, norms, and a rule that gives weights on any rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blending.apply import WeightedSum
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import GIVEN
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_cosines, weighting_problem
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import StoreError, first_few


class Solved(NamedTuple):
    """Weights that a rule gives.

    Attributes:
        weights: (K,) float64, of the prior and the M members, in the members' own units.
        status: how it ended, by name.
        evaluations: passes over the statistics.
    """

    weights: NDArray[np.float64]
    status: str = GIVEN
    evaluations: int = 1


Rule = Callable[[Problem], Solved]  # weights under a problem's centring and norms, on its rows


@dataclass(frozen=True, kw_only=True)
class FittedWeights:
    """A fit of plain weights, whichever rule gives them.

    Attributes:
        weighting: centring, norms and weights, of the statistics' members.
        blend: the same for vectors, with the members that have weight.
        rule: that gives the weights on other rows.
        status: how the fit ended, by name.
        objective: mean cosine on the training rows, priors out of fold.
        evaluations: passes over the statistics.
    """

    weighting: Weighting
    blend: WeightedBlend
    rule: Rule
    status: str
    objective: float
    evaluations: int

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        """From the statistics, without a look at the vectors."""
        return weighting_cosines(data.statistics, self.weighting, rows, held_out)

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedWeights:
        """The same centring and norms, weights by the rule."""
        return fit_weights(
            data, held_out, self.rule, centred=self.weighting.centred, alphas=self.weighting.alphas
        )


def fit_weights(
    data: Data, held_out: HeldFolds, rule: Rule, *, centred: bool, alphas: tuple[float, ...]
) -> FittedWeights:
    """Weights by a rule on the training rows.

    Args:
        data: to fit on.
        held_out: folds whose targets nothing may know.
        rule: that gives the weights.
        centred: whether members stand less their means.
        alphas: M exponents of the norms.

    Raises:
        StoreError: no training row has weight.
    """
    problem = training_problem(data, held_out, centred=centred, alphas=alphas)
    solved = rule(problem)
    weighting = Weighting(centred=centred, alphas=alphas, weights=tuple(solved.weights.tolist()))
    return FittedWeights(
        weighting=weighting,
        blend=weighted_blend(data.statistics, weighting),
        rule=rule,
        status=solved.status,
        objective=float(scores(problem, (solved.weights * problem.scale)[None, :])[0]),
        evaluations=solved.evaluations,
    )


def training_problem(
    data: Data, held_out: HeldFolds, *, centred: bool, alphas: tuple[float, ...]
) -> Problem:
    """The problem on the training rows; the arguments are those of `fit_weights`."""
    structure = Weighting(centred=centred, alphas=alphas, weights=())
    return weighting_problem(data.statistics, structure, rows_to_fit(data, held_out), held_out)


def rows_to_fit(data: Data, held_out: HeldFolds) -> NDArray[np.int64]:
    """(n,) int64, ascending: the training rows.

    Raises:
        StoreError: none of them has weight.
    """
    rows = data.training_rows(held_out)
    if not data.statistics.weight[rows].any():
        raise StoreError(
            f"{data.store.path}: without the folds {first_few(sorted(held_out))} no row of any"
            " weight is left to fit on; add samples of other groups"
        )
    return rows


def weighted_blend(statistics: Statistics, weighting: Weighting) -> WeightedBlend:
    """The blend of vectors that a weighting stands for: only the members that have weight."""
    weights, alphas = np.array(weighting.weights), np.array(weighting.alphas)
    used = np.flatnonzero(weights[1:])
    return WeightedBlend(
        members=tuple(statistics.names[m] for m in used),
        numbers=WeightedSum(
            prior_weight=float(weights[0]),
            weights=weights[1:][used],
            alphas=alphas[used],
            means=statistics.means[used] if weighting.centred else None,
        ),
    )
