"""Weights as a fitted blend: a centring, norms, and a rule that gives weights on any rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Aside, Data
from ensembler.blending.apply import WeightedSum
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_cosines, weighting_problem
from ensembler.blends.weighted import Weighted
from ensembler.errors import StoreError, first_few

GIVEN = "given"  # the status where nothing was solved


class Solved(NamedTuple):
    """What a rule found.

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
    """What every blender of plain weights finds.

    Attributes:
        weighting: centring, norms and weights, of the statistics' members.
        blend: the same for vectors, with the members that have weight.
        rule: what gives the weights on other rows.
        status: how the fit ended, by name.
        objective: mean cosine on the training rows, priors out of fold.
        evaluations: passes over the statistics.
    """

    weighting: Weighting
    blend: Weighted
    rule: Rule
    status: str
    objective: float
    evaluations: int

    def cosines(self, data: Data, rows: NDArray[np.int64], aside: Aside) -> NDArray[np.float64]:
        """As `FittedBlend.cosines` says; from the statistics, without a look at the vectors."""
        return weighting_cosines(data.statistics, self.weighting, rows, aside)

    def refitted(self, data: Data, aside: Aside) -> FittedWeights:
        """As `FittedBlend.refitted` says: the same centring and norms, weights by the rule."""
        return fit_weights(
            data, aside, self.rule, centred=self.weighting.centred, alphas=self.weighting.alphas
        )


def fit_weights(
    data: Data, aside: Aside, rule: Rule, *, centred: bool, alphas: tuple[float, ...]
) -> FittedWeights:
    """Weights by a rule on the training rows.

    Args:
        data: what to fit on.
        aside: folds whose targets nothing may know.
        rule: what gives the weights.
        centred: whether members stand less their means.
        alphas: M exponents of the norms.

    Raises:
        StoreError: no training row has weight.
    """
    problem = training_problem(data, aside, centred=centred, alphas=alphas)
    solved = rule(problem)
    weighting = Weighting(centred=centred, alphas=alphas, weights=tuple(solved.weights.tolist()))
    return FittedWeights(
        weighting=weighting,
        blend=spelt_out(data.statistics, weighting),
        rule=rule,
        status=solved.status,
        objective=float(scores(problem, (solved.weights * problem.scale)[None, :])[0]),
        evaluations=solved.evaluations,
    )


def training_problem(
    data: Data, aside: Aside, *, centred: bool, alphas: tuple[float, ...]
) -> Problem:
    """The problem on the training rows; the arguments are those of `fit_weights`."""
    structure = Weighting(centred=centred, alphas=alphas, weights=())
    return weighting_problem(data.statistics, structure, rows_to_fit(data, aside), aside)


def rows_to_fit(data: Data, aside: Aside) -> NDArray[np.int64]:
    """(n,) int64, ascending: the training rows.

    Raises:
        StoreError: none of them has weight.
    """
    rows = data.training_rows(aside)
    if not data.statistics.weight[rows].any():
        raise StoreError(
            f"{data.store.path}: without the folds {first_few(sorted(aside))} no row of any weight"
            " is left to fit on; add samples of other groups"
        )
    return rows


def spelt_out(statistics: Statistics, weighting: Weighting) -> Weighted:
    """A weighting as a blend of vectors: only the members that have weight."""
    weights, alphas = np.array(weighting.weights), np.array(weighting.alphas)
    used = np.flatnonzero(weights[1:])
    return Weighted(
        members=tuple(statistics.names[m] for m in used),
        numbers=WeightedSum(
            prior_weight=float(weights[0]),
            weights=weights[1:][used],
            alphas=alphas[used],
            means=statistics.means[used] if weighting.centred else None,
        ),
    )
