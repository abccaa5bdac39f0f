"""The score of a frozen blend on a store: one float64 pass over the vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum, blend_rows
from ensembler.metrics import paired_cosine
from ensembler.spec.model import WeightedBlend, decode_vector
from ensembler.store.reader import Store

BLOCK = 256  # rows blended at once: their float64 copies stay in the cache


def rescore(
    blend: WeightedBlend, store: Store, fold: NDArray[np.int64], priors: NDArray[np.float64]
) -> float:
    """Mean cosine of a blend, each row with the prior that did not see its fold.

    Args:
        blend: the frozen blend; its own prior vector is not used, it saw all targets.
        store: with targets and all the blend's members.
        fold: (rows,) int64, the evaluation folds.
        priors: (F, d) float64, the prior for the rows of each fold.

    Returns:
        The weighted mean over the store's rows; cancelled rows count 0.

    Raises:
        StoreError: the store has no targets or lacks a member.
    """
    members = store.members(member.name for member in blend.members)
    targets, weight = store.targets(), store.samples.weight
    plain = weighted_sum(blend)
    total = 0.0
    for start in range(0, len(fold), BLOCK):
        stop = min(start + BLOCK, len(fold))
        blocks = (member.block(start, stop) for member in members)
        rows = blend_rows(plain, priors[fold[start:stop]], blocks)
        total += float(weight[start:stop] @ paired_cosine(rows.vectors, targets[start:stop]))
    return total / float(weight.sum())


def weighted_sum(blend: WeightedBlend) -> WeightedSum:
    """The numbers of a frozen blend, decoded."""
    means = [decode_vector(member.mean) for member in blend.members if member.mean is not None]
    return WeightedSum(
        prior_weight=blend.prior.weight,
        weights=np.array([member.weight for member in blend.members]),
        alphas=np.array([member.alpha for member in blend.members]),
        means=np.stack(means) if means else None,
    )
