"""Foldings: whole groups, dealt by name, and dealt anew where weights leave a fold empty."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import InputError
from ensembler.evaluation.folding import fold_assignments, folds_for
from ensembler.folds import split_groups
from ensembler.store.reader import Store

GROUPS = np.array([f"g{row // 3}" for row in range(45)])
FOLD = np.array([row // 3 % 5 for row in range(45)])

Make = Callable[..., Store]


def _store(write_store: Make, order: NDArray[np.int64]) -> Store:
    ids = [f"s{row:02}" for row in order]
    targets = np.eye(45, 8, dtype=np.float32)[order] + np.float32(0.1)
    return write_store(targets, {}, groups=GROUPS[order].tolist(), ids=ids)


def test_no_folding_splits_a_group(write_store: Make) -> None:
    store = _store(write_store, np.arange(45))
    for fold in fold_assignments(store, 4, seed=0):
        assert not len(split_groups(GROUPS, fold))
        assert len(np.unique(fold)) == 5


def test_other_seeds_and_repeats_deal_otherwise(write_store: Make) -> None:
    store = _store(write_store, np.arange(45))
    dealt = [*fold_assignments(store, 3, seed=0), *fold_assignments(store, 3, seed=10)[1:]]
    assert len({fold.tobytes() for fold in dealt}) == 5


def test_the_order_of_rows_moves_no_row_to_another_fold(write_store: Make) -> None:
    order = np.random.default_rng(0).permutation(45)
    plain = fold_assignments(_store(write_store, np.arange(45)), 3, seed=1)
    shuffled = fold_assignments(_store(write_store, order), 3, seed=1)
    for expected, found in zip(plain[1:], shuffled[1:], strict=True):
        assert np.array_equal(expected[order], found)


def test_folds_stay_as_long_as_each_has_a_row_that_counts() -> None:
    weight = (np.arange(45) % 3 == 0).astype(np.float64)
    assert folds_for(FOLD, GROUPS, weight, "of some") is FOLD


def test_folds_left_without_a_row_that_counts_are_dealt_anew() -> None:
    weight = (FOLD > 1).astype(np.float64)
    fold = folds_for(FOLD, GROUPS, weight, "of some")
    assert not len(split_groups(GROUPS, fold))
    assert set(fold[weight > 0.0]) == set(range(5))


@pytest.mark.parametrize(("rows", "have"), [(3, "1 group"), (6, "2 groups")])
def test_too_few_groups_that_count_are_refused(rows: int, have: str) -> None:
    weight = (np.arange(45) < rows).astype(np.float64)
    with pytest.raises(InputError, match=f"the rows of 'sd' are of {have}, too few to hold one"):
        folds_for(FOLD, GROUPS, weight, "of 'sd'")
