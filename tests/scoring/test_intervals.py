"""The group bootstrap against a loop, a simulation, and its own invariances."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.scoring.intervals import CLUSTERS, GroupBootstrap


def grouped(
    seed: int, groups: int = 40, spread: float = 1.0
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Rows of groups that share most of their value: 1 to 6 rows a group."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 7, groups)
    names = np.repeat([f"g{g}" for g in range(groups)], size)
    shared = np.repeat(rng.normal(0.5, spread, groups), size)
    return names, shared + rng.normal(0.0, 0.3, len(names))


def test_the_interval_is_that_of_a_loop_that_draws_whole_groups() -> None:
    names, values = grouped(0)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(values))
    low, high = GroupBootstrap(names, weight, seed=0).interval(values)
    rng, unique = np.random.default_rng(2), np.unique(names)
    rows_of = {name: np.flatnonzero(names == name) for name in unique}
    means = []
    for _ in range(4000):
        rows = np.concatenate([rows_of[name] for name in rng.choice(unique, len(unique))])
        means.append(np.average(values[rows], weights=weight[rows]))
    expected = np.quantile(means, [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.05 * (high - low))


def test_the_interval_covers_the_truth_about_95_percent_of_the_time() -> None:
    covered = 0
    for seed in range(300):
        names, values = grouped(seed, groups=60)
        low, high = GroupBootstrap(names, np.ones(len(values)), seed=seed).interval(values)
        covered += low <= 0.5 <= high
    assert 0.92 <= covered / 300 <= 0.98


def test_rows_of_one_group_count_as_one_draw() -> None:
    names, values = grouped(3)
    by_group = GroupBootstrap(names, np.ones(len(values)), seed=0).interval(values)
    rows = np.array([str(row) for row in range(len(values))])
    by_row = GroupBootstrap(rows, np.ones(len(values)), seed=0).interval(values)
    assert by_group[1] - by_group[0] > 1.5 * (by_row[1] - by_row[0])


@pytest.mark.parametrize("groups", [40, CLUSTERS + 500])
def test_the_order_of_rows_does_not_matter(groups: int) -> None:
    names, values = grouped(4, groups)
    weight = np.random.default_rng(5).uniform(size=len(values))
    order = np.random.default_rng(6).permutation(len(values))
    straight = GroupBootstrap(names, weight, seed=0)
    shuffled = GroupBootstrap(names[order], weight[order], seed=0)
    np.testing.assert_allclose(shuffled.interval(values[order]), straight.interval(values))
    assert shuffled.mean(values[order]) == pytest.approx(straight.mean(values))


def test_a_row_of_weight_two_is_two_rows() -> None:
    names, values = grouped(7)
    weight = np.where(np.arange(len(values)) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(len(values)), weight.astype(int))
    weighted = GroupBootstrap(names, weight, seed=0)
    repeated = GroupBootstrap(names[twice], np.ones(len(twice)), seed=0)
    assert weighted.mean(values) == pytest.approx(repeated.mean(values[twice]))
    np.testing.assert_allclose(weighted.interval(values), repeated.interval(values[twice]))


def test_draws_without_any_weight_are_left_out() -> None:
    names, values = np.array(["a", "b"]), np.array([1.0, 5.0])
    assert GroupBootstrap(names, np.array([1.0, 0.0]), seed=0).interval(values) == (1.0, 1.0)


def test_pooled_groups_give_nearly_the_interval_of_single_ones() -> None:
    names, values = grouped(8, CLUSTERS * 2)
    low, high = GroupBootstrap(names, np.ones(len(values)), seed=0).interval(values)
    sums, sizes = (
        np.bincount(np.unique(names, return_inverse=True)[1], w)
        for w in (values, np.ones(len(names)))
    )
    mean = values.mean()
    error = np.sqrt(((sums - mean * sizes) ** 2).sum()) / len(values)
    np.testing.assert_allclose(
        [low, high], [mean - 1.96 * error, mean + 1.96 * error], atol=0.2 * error
    )
