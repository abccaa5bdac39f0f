"""Foldings: which rows are held out together, once for each repeat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError
from ensembler.fitting.inputs import store_folds
from ensembler.folds import drawn_folds, group_folds
from ensembler.store.reader import Store

FEWEST = 3  # with one fold held out and one scored, a prior needs a third


def fold_assignments(store: Store, repeats: int, seed: int) -> list[NDArray[np.int64]]:
    """The folds of each repeat: first those that `fit` uses, then others drawn by the seed.

    Args:
        store: with samples.
        repeats: how many, at least one.
        seed: of the draws.

    Returns:
        (rows,) int64 each, in 0..F-1; no group is split.

    Raises:
        StoreError: there are fewer than three groups.
    """
    first = store_folds(store)
    groups, folds = store.samples.group, int(first.max()) + 1
    drawn = (drawn_folds(groups, folds, seed + repeat) for repeat in range(1, repeats))
    return [first, *drawn]


def folds_for(
    fold: NDArray[np.int64],
    groups: NDArray[np.str_],
    weight: NDArray[np.float64],
    of: str,
) -> NDArray[np.int64]:
    """The same folds under other row weights, as long as each has a row that counts.

    Otherwise the groups of the rows that count are dealt anew to as many folds; groups that do not
    count join the first.

    Args:
        fold: (rows,) int64 in 0..F-1, no group split.
        groups: (rows,) text.
        weight: (rows,) float64.
        of: whose rows have weight, for a message: "of the other sources than 'sd'".

    Returns:
        (rows,) int64; no group is split.

    Raises:
        InputError: fewer than three groups have a row that counts.
    """
    counts = weight > 0.0
    folds = int(fold.max()) + 1
    if len(np.unique(fold[counts])) == folds:
        return fold
    left = np.unique(groups[counts])
    if len(left) < FEWEST:
        have = "1 group" if len(left) == 1 else f"{len(left)} groups"
        raise InputError(
            f"the rows {of} are of {have}, too few to hold one out ({FEWEST} are needed): add"
            " samples of other groups"
        )
    dealt = group_folds(groups[counts], folds)
    fold_of = dict(zip(groups[counts].tolist(), dealt.tolist(), strict=True))
    return np.array([fold_of.get(group, 0) for group in groups.tolist()], dtype=np.int64)
