"""Folds never split a group, and depend on nothing but the groups."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from ensembler.folds import (
    EVALUATION_FOLDS,
    evaluation_folds,
    group_folds,
    split_groups,
    why_dealt_anew,
)

group_names = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60)


def text(*names: str) -> NDArray[np.str_]:
    return np.array(names, dtype=np.str_)


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_groups_are_dealt_as_scikit_learn_deals_them(folds: int) -> None:
    # Of all sizes different, because the library's older releases break ties at random.
    rng = np.random.default_rng(folds)
    groups = rng.permutation(np.repeat([f"g{number}" for number in range(12)], np.arange(1, 13)))
    expected = np.empty(len(groups), dtype=np.int64)
    splits = GroupKFold(n_splits=folds).split(groups, groups=groups)
    for number, (_, rows) in enumerate(splits):
        expected[rows] = number
    np.testing.assert_array_equal(group_folds(groups, folds), expected)


@settings(max_examples=100)
@given(names=group_names, folds=st.integers(1, 6))
def test_groups_stay_whole_and_folds_nearly_equal(names: list[str], folds: int) -> None:
    groups = text(*names)
    fold = group_folds(groups, folds)
    assert fold.dtype == np.int64
    assert split_groups(groups, fold).tolist() == []
    sizes = np.bincount(fold)
    assert len(sizes) == min(folds, len(set(names)))
    assert (sizes > 0).all()
    largest = max(names.count(name) for name in names)
    assert sizes.max() - sizes.min() <= largest


@settings(max_examples=60)
@given(names=group_names, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(names: list[str], seed: int) -> None:
    groups = text(*names)
    order = np.random.default_rng(seed).permutation(len(groups))
    np.testing.assert_array_equal(group_folds(groups[order], 3), group_folds(groups, 3)[order])


def test_larger_groups_are_dealt_first_and_ties_from_the_last_name() -> None:
    groups = text("c", "b", "a", "d", "d", "d", "e", "e")
    fold = group_folds(groups, 3)
    dealt = dict(zip(groups.tolist(), fold.tolist(), strict=True))
    assert dealt == {"d": 0, "e": 1, "c": 2, "b": 2, "a": 1}


def test_many_groups_of_one_size_are_dealt_in_turn_from_the_last_name() -> None:
    groups = np.array([f"g{number:05d}" for number in range(1000)])
    np.testing.assert_array_equal(group_folds(groups, 5), np.arange(999, -1, -1) % 5)


def test_fewer_groups_than_folds_are_a_fold_each() -> None:
    assert sorted(set(group_folds(text("x", "y", "x", "y"), 5).tolist())) == [0, 1]


def test_one_group_is_one_fold() -> None:
    assert group_folds(text("x", "x", "x"), 5).tolist() == [0, 0, 0]


def test_folds_do_not_depend_on_the_seed_of_hashes() -> None:
    code = (
        "import numpy as np; from ensembler.folds import group_folds;"
        "print(group_folds(np.array([f'g{i * 7 % 40}' for i in range(200)]), 5).tolist())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(printed) == 1


def test_the_stores_own_folds_serve_where_they_can() -> None:
    groups = text("a", "b", "c", "d", "a")
    fold = np.array([0, 1, 2, 3, 0])
    np.testing.assert_array_equal(evaluation_folds(fold, groups), fold)
    assert why_dealt_anew(fold, groups) is None


def test_gaps_in_the_stores_folds_are_closed() -> None:
    fold = np.array([10, 40, 20, 10])
    assert evaluation_folds(fold, text("a", "b", "c", "a")).tolist() == [0, 2, 1, 0]


def test_many_folds_are_pooled() -> None:
    pooled = evaluation_folds(np.arange(12), np.array([f"g{number}" for number in range(12)]))
    np.testing.assert_array_equal(pooled, np.arange(12) % EVALUATION_FOLDS)


@pytest.mark.parametrize(
    ("fold", "why"),
    [
        ([0, 1, 2, -1, 0, 1], "the store's cover 5 of 6 rows"),
        ([0, 1, 0, 1, 1, 1], "the store has 2 and 3 are needed"),
        ([0, 1, 2, 3, 4, 0], "the store's split 1 of 5 groups"),
        ([-1] * 6, "the store's cover 0 of 6 rows"),
    ],
)
def test_groups_are_dealt_anew_where_the_stores_folds_cannot_serve(
    fold: list[int], why: str
) -> None:
    groups = text("a", "b", "c", "d", "d", "e")
    found = evaluation_folds(np.array(fold), groups)
    np.testing.assert_array_equal(found, group_folds(groups, EVALUATION_FOLDS), err_msg=why)
    assert why_dealt_anew(np.array(fold), groups) == why


@pytest.mark.parametrize(
    ("groups", "have"), [(("a", "a", "a"), "1 group is"), (("a", "b", "a"), "2 groups are")]
)
def test_fewer_than_three_groups_are_refused(groups: tuple[str, ...], have: str) -> None:
    with pytest.raises(ValueError, match=f"{have} too few.*3 are needed"):
        evaluation_folds(np.array([-1, -1, -1]), text(*groups))


def test_split_groups_are_named_in_order() -> None:
    groups = text("b", "a", "b", "a", "c", "c")
    assert split_groups(groups, np.array([0, 1, 1, 0, 2, 2])).tolist() == ["a", "b"]
