"""A small deterministic coreset: enough statistics rows to solve a blend's weights again."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import columns_of
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.spec.model import Coreset
from ensembler.spec.numbers import encode_vector

NUMBERS = 60_000  # statistics in a coreset, about: a spec of some 300 KB whatever its members
FEWEST, MOST = 128, 1024  # rows; below, weights are noise, above, the spec grows for nothing


def make_coreset(
    statistics: Statistics, weighting: Weighting, used: NDArray[np.int64], ids: NDArray[np.str_]
) -> Coreset:
    """Take the rows whose ids hash lowest: a sample that no order of the file can bend.

    Args:
        statistics: of all rows.
        weighting: the blend.
        used: the members in it, positions among the statistics'.
        ids: (rows,) text.

    Returns:
        The coreset, columns the prior and the used members.
    """
    columns = np.concatenate([[0], used + 1])
    count = len(columns)
    size = int(np.clip(NUMBERS // (count * (count - 1) // 2 + 2 * count), FEWEST, MOST))
    lowest = sorted(
        range(len(ids)), key=lambda row: hashlib.sha256(str(ids[row]).encode()).digest()
    )
    rows = np.sort(np.array(lowest[:size], dtype=np.int64))
    chosen = columns_of(statistics, rows, None, centred=weighting.centred)
    pairs = _pairs(columns, len(chosen.cross))
    return Coreset(
        rows=len(rows),
        cosines=encode_vector(chosen.cosines[pairs].T),
        cross=encode_vector(chosen.cross[columns].T),
        lengths=encode_vector(chosen.lengths[columns].T),
        weight=encode_vector(statistics.weight[rows]),
    )


def _pairs(columns: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Where the pairs of some columns stand among the packed pairs of all."""
    place = np.zeros((total, total), dtype=np.int64)
    place[np.triu_indices(total, 1)] = np.arange(total * (total - 1) // 2)
    return place[np.ix_(columns, columns)][np.triu_indices(len(columns), 1)]
