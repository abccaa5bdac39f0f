"""The one member that scores highest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensembler.blenders.contract import Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.weights.fitted import FittedWeights, Solved, fit_weights
from ensembler.blending.greedy import foremost, places_by_name
from ensembler.blending.objective import scores
from ensembler.blending.problem import Problem


@dataclass(frozen=True, kw_only=True)
class SingleBest:
    """The best member on the training rows, as it is; the prior where it has no row."""

    name: ClassVar[str] = "single_best"
    properties: ClassVar[frozenset[Property]] = frozenset(Property)
    fallback: ClassVar[str] = "single_best"

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:  # noqa: ARG002 - nothing is drawn
        """Fit; of members that tie, the first by name is taken."""
        unit = (1.0,) * len(data.names)
        return fit_weights(data, held_out, _best, centred=False, alphas=unit)


def _best(problem: Problem) -> Solved:
    alone, places = np.eye(problem.columns)[1:], places_by_name(problem.selection.statistics.names)
    return Solved(alone[foremost(scores(problem, alone), places[1:])])
