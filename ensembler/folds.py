"""Folds that never split a group."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

EVALUATION_FOLDS = 5  # each costs a search; a nested estimate gains little from more


def group_folds(groups: NDArray[np.str_], folds: int) -> NDArray[np.int64]:
    """Deal whole groups to folds of nearly equal size, as scikit-learn's GroupKFold does.

    The larger groups are dealt first, ties from the last name to the first, each to the fold with
    the fewest rows: the order of rows does not matter. The library itself would serve, but for its
    older releases, whose unstable sort breaks ties differently from one processor to the next.

    Args:
        groups: (rows,) text, the group of each row.
        folds: how many folds; with fewer groups than that, each group is a fold.

    Returns:
        (rows,) int64 in 0..folds-1; all 0 when there is one group.
    """
    names, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rows_in = np.zeros(max(1, min(folds, len(names))), dtype=np.int64)
    fold_of = np.zeros(len(names), dtype=np.int64)
    for group in np.argsort(sizes, kind="stable")[::-1]:
        fold_of[group] = rows_in.argmin()
        rows_in[fold_of[group]] += sizes[group]
    return fold_of[code]


def drawn_folds(groups: NDArray[np.str_], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal whole groups to folds in a random order that depends on their names and a seed.

    Each goes to the fold with the fewest rows. The order of rows does not matter, and, unlike
    `group_folds`, another seed gives other folds.

    Args:
        groups: (rows,) text, the group of each row.
        folds: how many folds; with fewer groups than that, each group is a fold.
        seed: random seed of the order.

    Returns:
        (rows,) int64 in 0..folds-1.
    """
    names, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    rows_in = np.zeros(max(1, min(folds, len(names))), dtype=np.int64)
    fold_of = np.zeros(len(names), dtype=np.int64)
    drawn = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in names]
    for group in sorted(range(len(names)), key=drawn.__getitem__):
        fold_of[group] = rows_in.argmin()
        rows_in[fold_of[group]] += sizes[group]
    return fold_of[code]


def evaluation_folds(fold: NDArray[np.int64], groups: NDArray[np.str_]) -> NDArray[np.int64]:
    """The folds of the nested estimate and of the priors.

    They are the store's own folds where those can serve, pooled to EVALUATION_FOLDS where there
    are more; otherwise groups are dealt anew.

    Args:
        fold: (rows,) int64, -1 where a row is in none.
        groups: (rows,) text.

    Returns:
        (rows,) int64 in 0..F-1, 3 <= F <= EVALUATION_FOLDS.

    Raises:
        ValueError: there are fewer than three groups.
    """
    if why_dealt_anew(fold, groups) is None:
        _, number = np.unique(fold, return_inverse=True)
        return number % EVALUATION_FOLDS
    dealt = group_folds(groups, EVALUATION_FOLDS)
    if dealt.max() < 2:
        have = "1 group is" if dealt.max() == 0 else f"{dealt.max() + 1} groups are"
        raise ValueError(f"{have} too few to hold one out; 3 are needed")
    return dealt


def why_dealt_anew(fold: NDArray[np.int64], groups: NDArray[np.str_]) -> str | None:
    """The reason why a store's own folds cannot serve a nested estimate, if there is one.

    They can when every row has a fold, no group is split and there are at least three folds: with
    one held out and one scored, the prior of a training row needs a third.

    Args:
        fold: (rows,) int64, -1 where a row is in none.
        groups: (rows,) text.

    Returns:
        A clause, as in "the store's split 1 of 30 groups"; None where they serve.
    """
    placed, folds = int((fold >= 0).sum()), len(np.unique(fold))
    split = len(split_groups(groups, fold))
    if placed < len(fold):
        return f"the store's cover {placed} of {len(fold)} rows"
    if folds < 3:
        return f"the store has {folds} and 3 are needed"
    if split:
        return f"the store's split {split} of {len(np.unique(groups))} groups"
    return None


def split_groups(groups: NDArray[np.str_], fold: NDArray[np.int64]) -> NDArray[np.str_]:
    """The groups with rows in more than one fold, sorted.

    Args:
        groups: (rows,) text.
        fold: (rows,) int64.

    Returns:
        (k,) text, k = 0 when the folds are honest.
    """
    names, code = np.unique(groups, return_inverse=True)
    folds_of_group = np.unique(np.stack([code, fold]), axis=1)[0]
    return names[np.bincount(folds_of_group, minlength=len(names)) > 1]
