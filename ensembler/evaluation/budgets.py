"""Scores by budget: those of the best members whose seconds per image fit.

The subsets that no other beats in score and seconds alike are found on all rows; what each budget
is worth is measured by the subsets found without each fold, on the rows of that fold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.weights.budget import seconds_per_image
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blending.weighting import Weighting, weighting_cosines
from ensembler.evaluation.estimate import PlainWeights
from ensembler.evaluation.series import Measured, measure
from ensembler.search.pareto import Subset, pareto_front, within


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A number of seconds per image, and the members it buys.

    Attributes:
        seconds: per image, of the members together.
        members: on all rows the best that fit.
        held_out: what the best that fit are worth when they are chosen without each fold.
    """

    seconds: float
    members: tuple[str, ...]
    held_out: Measured


def budgets(data: Data, weights: PlainWeights, seed: int) -> tuple[Budget, ...]:
    """Every budget from which another set of members is better, the smallest first.

    Args:
        data: under the first folding.
        weights: the weighted blend's, whose centring and norms stay.
        seed: of the search and the intervals.

    Raises:
        InputError: a member does not say how long it takes.
    """
    whole = _front(data, weights.on_all, NONE_HELD_OUT, seed)
    cosines = np.zeros((len(whole), len(data.statistics)))
    for fold, weighting in enumerate(weights.without):
        held_out = frozenset({fold})
        front, rows = _front(data, weighting, held_out, seed), data.fold_rows(fold)
        for place, subset in enumerate(whole):
            found = within(front, subset.seconds).solution
            again = replace(weighting, weights=tuple(found.weights.tolist()))
            cosines[place, rows] = weighting_cosines(data.statistics, again, rows, held_out)
    measured = measure(list(cosines), data.store.samples.group, data.statistics.weight, seed)
    return tuple(
        Budget(
            seconds=subset.seconds,
            members=tuple(data.names[m] for m in subset.members),
            held_out=worth,
        )
        for subset, worth in zip(whole, measured, strict=True)
    )


def _front(data: Data, weighting: Weighting, held_out: HeldFolds, seed: int) -> tuple[Subset, ...]:
    problem = training_problem(data, held_out, centred=weighting.centred, alphas=weighting.alphas)
    columns, bounds = data.space.columns, data.space.definition.bounds
    seconds = seconds_per_image(data.store, data.names)
    return pareto_front(problem, columns, seconds, bounds=bounds, seed=seed)
