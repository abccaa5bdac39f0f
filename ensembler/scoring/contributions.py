"""What each member gives: alone, and what the blend loses without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.objective import row_cosines
from ensembler.blending.problem import Problem
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.scoring.nested import Nested

# A blend without one member: (weighting, its problem on the rows to solve on, member).
Without = Callable[[Weighting, Problem, int], Weighting]


def alone(statistics: Statistics) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each member's coverage and its mean cosine over the rows it covers.

    Args:
        statistics: of all rows; M members.

    Returns:
        (M,) int64 rows covered, and (M,) float64 weighted mean cosines, 0 where nothing is covered.
    """
    present = statistics.raw.lengths > 0.0
    weight = statistics.weight @ present
    total = statistics.weight @ statistics.raw.cross
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0.0)
    return present.sum(axis=0), mean


def losses_without(statistics: Statistics, nested: Nested, without: Without) -> NDArray[np.float64]:
    """The held-out score lost when one member is left out.

    Args:
        statistics: of all rows; M members.
        nested: of the blend, whose centring and norms each fold keeps.
        without: a fold's weights without a member: solved again, or the others as they are.

    Returns:
        (M,) float64; negative where the blend is better off without the member, 0 where no fold
        gave it weight.
    """
    weight = statistics.weight / statistics.weight.sum()
    losses = np.zeros(len(statistics.names))
    for fold, weighting in enumerate(nested.weightings):
        held_out = statistics.fold == fold
        test = np.flatnonzero(held_out)
        train = weighting_problem(statistics, weighting, np.flatnonzero(~held_out), fold)
        unseen = weighting_problem(statistics, weighting, test, fold)
        for member in np.flatnonzero(np.array(weighting.weights[1:])):
            again = without(weighting, train, int(member))
            cosines = row_cosines(unseen, np.array(again.weights) * unseen.scale)
            losses[member] += weight[test] @ (nested.cosines[test] - cosines)
    return losses
