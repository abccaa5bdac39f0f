"""Weights pulled towards equal ones: less to learn where rows are few.

In units of the columns' scale the members' weights move to their own average, each by the same
share of the way; the prior keeps its weight. The share is chosen by inner folds.

Off by default, also where rows are few: weights that are nonnegative and sum to 1 hardly overfit.
On 30, 60 and 100 rows drawn from ten real members, as single rows and as whole groups, 16 times
each, and scored on all rows of other groups, the share that inner folds choose changed the score by
-.0009 to +.0001, a fixed tenth by -.0012 to +.0003; no gain was as much as two standard errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.strength import choose_strength
from ensembler.blenders.weights.fitted import FittedWeights, Rule, Solved, training_problem
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem
from ensembler.blending.solver import Bounds, normalise
from ensembler.blending.weighting import weighting_problem

STRENGTHS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0)  # shares of the way, the strongest first
DEFAULT = 0.2  # where folds are too few to choose


def shrinkage_rule(rule: Rule, strength: float, columns: NDArray[np.bool_], bounds: Bounds) -> Rule:
    """The rule whose weights are another's, part of the way to equal ones.

    Args:
        rule: the other.
        strength: the share of the way, in 0..1.
        columns: (K,) which columns may have weight.
        bounds: of the weights.
    """

    def pull(problem: Problem) -> Solved:
        solved = rule(problem)
        pulled = towards_uniform(problem, solved.weights, strength, columns)
        return solved._replace(weights=normalise(pulled, bounds))

    return pull


def towards_uniform(
    problem: Problem,
    weights: NDArray[np.float64],
    strength: float,
    columns: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(K,) weights moved a share of the way to equal ones; uncovered members stay out.

    Args:
        problem: whose scale makes members comparable.
        weights: (K,) float64, in the members' own units.
        strength: the share, in 0..1.
        columns: (K,) which columns may have weight.
    """
    scaled = weights * problem.scale
    members = columns & problem.covered
    members[0] = False
    if members.any():
        scaled[members] += strength * (scaled[members].mean() - scaled[members])
    return np.asarray(scaled / problem.scale)


def choose_shrinkage(
    data: Data, held_out: HeldFolds, fitted: FittedWeights, columns: NDArray[np.bool_]
) -> float:
    """The share that scores best on inner folds; 0 where shrinking gains nothing.

    Args:
        data: that the weights were fitted on.
        held_out: folds whose targets nothing may know.
        fitted: the weights as they are without shrinkage, on the same rows.
        columns: (K,) which columns may have weight.
    """
    weighting = fitted.weighting

    def score(inner: HeldFolds, fold: int) -> NDArray[np.float64]:
        train = training_problem(data, inner, centred=weighting.centred, alphas=weighting.alphas)
        weights = fitted.rule(train).weights
        candidates = np.stack(
            [towards_uniform(train, weights, share, columns) for share in STRENGTHS]
        )
        rows = data.fold_rows(fold)
        unseen = weighting_problem(data.statistics, weighting, rows, inner)
        total = float(data.statistics.weight[rows].sum())
        return np.asarray(total * scores(unseen, candidates * unseen.scale))

    choice = choose_strength(data, held_out, score, default=STRENGTHS.index(DEFAULT))
    return STRENGTHS[choice.index]
