"""No row is scored by a prior that saw its fold, or the fold that a nested fit holds out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.priors import fold_sums, prior_of_all, priors_out_of_fold
from ensembler.blending.problem import columns_of
from ensembler.blending.statistics import Statistics
from ensembler.metrics import unit_rows

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World

FOLDS = 4


def composed(statistics: Statistics, held_out: int | None) -> NDArray[np.float64]:
    """(F, d) the prior of each fold's rows, as the statistics compose it."""
    directions = unit_rows(statistics.fold_sums)
    return np.asarray(statistics.prior_parts(held_out) @ directions)


def with_other_targets(world: World, fold: int) -> None:
    rows = world.fold == fold
    world.targets[rows] = np.random.default_rng(99).normal(size=(rows.sum(), 12)) * 7.0


@pytest.mark.parametrize("held_out", [None, 0, 2])
def test_each_prior_is_the_mean_target_of_the_folds_it_may_know(
    make_world: Callable[..., World], oracle_prior: Callable[..., Vector], held_out: int | None
) -> None:
    world = make_world(1, weighted=True)
    priors = composed(world.statistics(), held_out)
    for row, fold in enumerate(world.fold):
        np.testing.assert_allclose(priors[fold], oracle_prior(world, row, held_out), atol=1e-12)


@pytest.mark.parametrize("changed", range(FOLDS))
@pytest.mark.parametrize("held_out", [None, 0, 2])
def test_a_folds_targets_do_not_reach_the_priors_of_its_rows(
    make_world: Callable[..., World], changed: int, held_out: int | None
) -> None:
    world = make_world(2, weighted=True)
    before = composed(world.statistics(), held_out)
    with_other_targets(world, changed)
    after = composed(world.statistics(), held_out)
    same = [np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
    assert same == [fold == changed or changed == held_out for fold in range(FOLDS)]


@pytest.mark.parametrize("held_out", [0, 2])
def test_the_held_out_folds_targets_reach_nothing_that_a_nested_fit_reads(
    make_world: Callable[..., World], held_out: int
) -> None:
    world = make_world(3, weighted=True)
    training = np.flatnonzero(world.fold != held_out)
    before = columns_of(world.statistics(), training, held_out, centred=True)
    with_other_targets(world, held_out)
    after = columns_of(world.statistics(), training, held_out, centred=True)
    for name, old, new in zip(before._fields, before, after, strict=True):
        np.testing.assert_array_equal(old, new, err_msg=name)


def test_a_held_out_rows_prior_is_that_of_all_training_rows(
    make_world: Callable[..., World],
) -> None:
    world = make_world(4, weighted=True)
    statistics = world.statistics()
    np.testing.assert_array_equal(composed(statistics, 1)[1], composed(statistics, None)[1])


def test_priors_out_of_fold_are_those_that_the_statistics_compose(
    make_world: Callable[..., World],
) -> None:
    statistics = make_world(5, weighted=True).statistics()
    out_of_fold = priors_out_of_fold(statistics.fold_sums)
    np.testing.assert_allclose(out_of_fold, composed(statistics, None), atol=1e-12)


def test_priors_out_of_fold_owe_their_own_fold_nothing(make_world: Callable[..., World]) -> None:
    sums = make_world(6).statistics().fold_sums
    louder = sums.copy()
    louder[2] = 1e9
    np.testing.assert_array_equal(priors_out_of_fold(sums)[2], priors_out_of_fold(louder)[2])


def test_without_another_fold_there_is_no_prior() -> None:
    sums = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(priors_out_of_fold(sums[:1]), [[0.0, 0.0]])
    np.testing.assert_allclose(priors_out_of_fold(sums), [[0.6, 0.8], [5**-0.5, 2 * 5**-0.5]])


def test_two_folds_leave_a_nested_row_without_a_prior(make_world: Callable[..., World]) -> None:
    world = make_world(7, folds=2)
    training = np.flatnonzero(world.fold == 0)
    columns = columns_of(world.statistics(), training, 1, centred=False)
    assert (columns.lengths[0] == 0.0).all()
    assert (columns.cross[0] == 0.0).all()


def test_the_prior_of_all_is_the_unit_length_sum_of_weighted_unit_targets() -> None:
    rng = np.random.default_rng(8)
    targets = rng.normal(size=(5000, 6)).astype(np.float32)
    weight, fold = rng.uniform(0.0, 2.0, 5000), rng.integers(0, 3, 5000)
    total = np.zeros(6)
    for target, share in zip(targets.astype(np.float64), weight, strict=True):
        total += share * target / np.linalg.norm(target)
    sums = fold_sums(targets, weight, fold)
    assert sums.shape == (3, 6)
    np.testing.assert_allclose(prior_of_all(sums), total / np.linalg.norm(total), atol=1e-12)
