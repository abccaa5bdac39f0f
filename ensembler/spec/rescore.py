"""The score of a frozen blend on a store: one float64 pass over the vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.blends.contract import Blend
from ensembler.metrics import unit_rows
from ensembler.store.reader import Store

BLOCK = 256  # rows blended at once: their float64 copies stay in the cache


def rescore(
    blend: Blend,
    store: Store,
    fold: NDArray[np.int64],
    priors: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> float:
    """Mean cosine of a blend, each row with the prior that did not see its fold.

    Args:
        blend: the blend, thawed. (The prior vector of its spec is not for these rows: it saw them.)
        store: with targets and all the blend's members.
        fold: (rows,) int64, the evaluation folds.
        priors: (F, d) float64, the prior for the rows of each fold.
        weight: (rows,) float64 row weights.

    Returns:
        The weighted mean over the store's rows; cancelled rows count 0.

    Raises:
        StoreError: the store has no targets or lacks a member.
    """
    members = {name: store.member(name) for name in blend.members}
    targets = store.targets()
    total = 0.0
    for start in range(0, len(fold), BLOCK):
        stop = min(start + BLOCK, len(fold))
        block = {name: member.block(start, stop) for name, member in members.items()}
        rows = blend.apply(block, priors[fold[start:stop]])
        unit = unit_rows(targets[start:stop])
        total += float(weight[start:stop] @ np.einsum("id,id->i", rows.vectors, unit))
    return total / float(weight.sum())
