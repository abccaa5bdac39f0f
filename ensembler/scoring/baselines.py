"""The blends that any other must beat, each a fit for `nested_cosines`.

Their members stand as they are, uncentred and at unit length; a row where theirs are absent scores
with the prior.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import prior_cosines
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.scoring.nested import Fit


def baseline_fits(statistics: Statistics) -> Mapping[str, Fit]:
    """The baselines by name: prior, uniform, single_best.

    Args:
        statistics: of all rows; a fit looks only at those it is given.
    """
    members = len(statistics.names)

    def prior(_rows: NDArray[np.int64], _held_out: int | None) -> Weighting:
        return _plain(np.eye(members + 1)[0])

    def uniform(_rows: NDArray[np.int64], _held_out: int | None) -> Weighting:
        return _plain(np.r_[0.0, np.full(members, 1.0 / members)])

    def single_best(rows: NDArray[np.int64], held_out: int | None) -> Weighting:
        present = statistics.raw.lengths[rows] > 0.0
        prior = prior_cosines(statistics, rows, held_out)
        cosines = np.where(present, statistics.raw.cross[rows], prior[:, None])
        best = int((statistics.weight[rows] @ cosines).argmax())
        return _plain(np.eye(members + 1)[1 + best])

    return {"prior": prior, "uniform": uniform, "single_best": single_best}


def _plain(weights: NDArray[np.float64]) -> Weighting:
    return Weighting(
        centred=False, alphas=(1.0,) * (len(weights) - 1), weights=tuple(weights.tolist())
    )
