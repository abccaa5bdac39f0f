"""A subset of the members, as blenders see it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blending.statistics import Geometry, Statistics


def of_members(data: Data, chosen: NDArray[np.int64]) -> Data:
    """The data of some members alone.

    Args:
        data: of all.
        chosen: (k,) int64, ascending positions.
    """
    return replace(
        data,
        statistics=_statistics_of(data.statistics, chosen),
        space=data.space.among([data.names[m] for m in chosen]),
    )


def _statistics_of(statistics: Statistics, chosen: NDArray[np.int64]) -> Statistics:
    first, second = np.triu_indices(len(statistics.names), 1)
    pairs = np.flatnonzero(np.isin(first, chosen) & np.isin(second, chosen))

    def part(geometry: Geometry) -> Geometry:
        return Geometry(
            cosines=geometry.cosines[:, pairs],
            cross=geometry.cross[:, chosen],
            lengths=geometry.lengths[:, chosen],
            fold_cosines=geometry.fold_cosines[:, chosen],
        )

    return replace(
        statistics,
        names=tuple(statistics.names[m] for m in chosen),
        means=statistics.means[chosen],
        raw=part(statistics.raw),
        centred=part(statistics.centred),
    )
