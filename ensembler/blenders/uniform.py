"""The plain average of the members at unit length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensembler.blenders.contract import Property
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.weights.fitted import FittedWeights, Solved, fit_weights
from ensembler.blending.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Equal weights, nothing fitted: what every choice must be worth more than."""

    name: ClassVar[str] = "uniform"
    properties: ClassVar[frozenset[Property]] = frozenset({Property.SCALE_INVARIANT})
    fallback: ClassVar[str] = "uniform"

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:  # noqa: ARG002 - nothing is drawn
        unit = (1.0,) * len(data.names)
        return fit_weights(data, held_out, _equal, centred=False, alphas=unit)


def _equal(problem: Problem) -> Solved:
    members = problem.columns - 1
    return Solved(np.r_[0.0, np.full(members, 1.0 / members)])
