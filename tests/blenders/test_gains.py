"""Gains: their filter, their candidates and the covariances behind them, in naive float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from ensembler.blenders.corrections.covariance import shrunk_covariance
from ensembler.blenders.corrections.directions import (
    FILTERS,
    PULLS,
    Basis,
    coordinate_gains,
    filter_gains,
    find_directions,
)  # fmt: skip
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.gains import PRIORS, Gains, summed_cosines
from ensembler.blenders.gated import Gated
from ensembler.blenders.nested import Nested
from ensembler.blenders.ridge import Ridge
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.fitted import FittedWeights
from ensembler.blending.apply import WeightedSum
from ensembler.blends.gains import GainsBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import InputError
from ensembler.metrics import unit_rows
from ensembler.testing.worlds import DIM, TIMES, UNCOVERED, World, make_world

Vectors = NDArray[np.float64]
BASES: tuple[Basis, ...] = ("corpus", "targets", "coordinates")
HELD: HeldFolds = frozenset({1})


def plain(*members: str) -> WeightedBlend:
    """Members at unit length, equally weighted, and a little prior."""
    numbers = WeightedSum(
        prior_weight=0.2,
        weights=np.ones(len(members)),
        alphas=np.ones(len(members)),
        means=None,
    )
    return WeightedBlend(members=members, numbers=numbers)


def naive_row(blend: GainsBlend, y: Vectors, prior: Vectors) -> Vectors:
    """One row under gains, direction by direction."""
    basis = np.eye(len(y)) if blend.basis is None else blend.basis.astype(np.float64)
    beyond = y - (y @ prior) * prior
    total = blend.prior * (y @ prior) * prior
    for direction, gain in zip(basis.T, blend.gains.astype(np.float64), strict=True):
        total = total + gain * (beyond @ direction) * direction
    return np.asarray(total / np.linalg.norm(total))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    world = make_world().with_weight(lambda name: 1.0 + int(name[1:]) % 3)
    return world.data(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("turned", [False, True])
def test_rows_are_filtered_as_the_formula_says(turned: bool) -> None:
    world, rng = make_world(), np.random.default_rng(0)
    priors = unit_rows(rng.normal(size=world.targets.shape))
    basis = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].astype(np.float32)
    gains = rng.uniform(0.0, 2.0, DIM).astype(np.float32)
    base = plain("m0", "m1")
    blend = GainsBlend(base=base, basis=basis if turned else None, gains=gains, prior=1.25)
    blended, before = blend.apply(world.members, priors), base.apply(world.members, priors)
    for row, (y, prior) in enumerate(zip(before.vectors, priors, strict=True)):
        expected = prior if row == UNCOVERED else naive_row(blend, y, prior)
        assert blended.vectors[row] == pytest.approx(expected, abs=1e-12)
    assert np.flatnonzero(blended.absent).tolist() == [UNCOVERED]
    assert not blended.cancelled.any()


def test_gains_that_leave_nothing_of_a_row_cancel_it() -> None:
    rows = {"m0": np.array([[3.0, 0.0, 0.0], [3.0, 4.0, 0.0]], dtype=np.float32)}
    numbers = WeightedSum(prior_weight=0.0, weights=np.ones(1), alphas=np.ones(1), means=None)
    base = WeightedBlend(members=("m0",), numbers=numbers)
    gains = np.array([0.0, 1.0, 1.0], dtype=np.float32)
    blend = GainsBlend(base=base, basis=None, gains=gains, prior=1.0)
    blended = blend.apply(rows, np.array([[0.0, 0.0, 1.0]] * 2))
    assert blended.cancelled.tolist() == [True, False]
    assert blended.vectors.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize("basis", BASES)
def test_candidates_score_on_a_fold_what_their_vectors_score(data: Data, basis: Basis) -> None:
    fold, held_out, rows = 1, frozenset({1}), data.fold_rows(1)
    base = Weighted().fit(data, held_out, 0).blend
    directions = find_directions(data, held_out, base, basis)
    sums = summed_cosines(data, held_out, fold, base, directions)
    expected = []
    for gains in directions.gains:
        for prior in PRIORS:
            blend = GainsBlend(base=base, basis=directions.basis, gains=gains, prior=prior)
            cosines = data.cosines(blend, rows, held_out)
            expected.append(float(data.statistics.weight[rows] @ cosines))
    assert sums == pytest.approx(expected, abs=1e-5 * len(rows))  # the basis is of float32


def test_filters_are_one_at_the_mean_variance_and_begin_with_no_change() -> None:
    variance = np.array([0.0, 0.5, 1.0, 2.5])  # of mean 1
    gains = filter_gains(variance * 1e-4)
    assert gains[0].tolist() == [1.0] * 4
    for (power, noise), found in zip(FILTERS[1:], gains[1:], strict=True):
        expected = [v**power * (1.0 + noise) / (v**power + noise) for v in variance]
        assert found == pytest.approx(expected, rel=1e-6)
        assert found[2] == 1.0


def test_directions_without_any_variance_are_not_filtered() -> None:
    assert (filter_gains(np.zeros(5)) == 1.0).all()


def test_coordinate_gains_are_least_squares_pulled_to_one(data: Data) -> None:
    base, rows = plain("m0", "m3"), data.training_rows(HELD)
    priors, weight = data.priors(HELD)[data.statistics.fold], data.statistics.weight
    with_target, with_itself = np.zeros(DIM), np.zeros(DIM)
    (block,) = data.blocks(base.members, rows)
    blended = base.apply(block.members, priors[rows]).vectors
    for row, y, target in zip(rows, blended, data.targets(rows), strict=True):
        beyond = y - (y @ priors[row]) * priors[row]
        with_target += weight[row] * beyond * target
        with_itself += weight[row] * beyond**2
    a, b = with_target / with_target.mean(), with_itself / with_itself.mean()
    found = coordinate_gains(data, HELD, base)
    assert found[0].tolist() == [1.0] * DIM
    for pull, gains in zip(PULLS[1:], found[1:], strict=True):
        assert gains == pytest.approx(np.maximum((a + pull) / (b + pull), 0.0), rel=1e-5)


def test_of_equal_rows_each_a_group_the_covariance_is_scikit_learn_s(tmp_path: Path) -> None:
    data = make_world().take(range(0, 96, TIMES)).data(tmp_path)
    for held_out in (NONE_HELD_OUT, HELD):
        expected, share = ledoit_wolf(data.targets(data.training_rows(held_out)))
        assert 0.05 < share < 0.95
        assert shrunk_covariance(data, held_out) == pytest.approx(expected, abs=1e-12)


def test_rows_of_one_group_count_as_one(data: Data) -> None:
    """The formula with loops: Kish's number of groups stands for that of rows."""
    rows, weight = data.training_rows(HELD), data.statistics.weight
    targets, total = data.targets(rows), weight[rows].sum()
    mean = (weight[rows] @ targets) / total
    covariance, fourth = np.zeros((DIM, DIM)), 0.0
    for row, target in zip(rows, targets, strict=True):
        covariance += weight[row] / total * np.outer(target - mean, target - mean)
        fourth += weight[row] / total * np.sum((target - mean) ** 2) ** 2
    groups = data.store.samples.group[rows]
    of_groups = [weight[rows][groups == group].sum() for group in np.unique(groups)]
    count = sum(of_groups) ** 2 / np.square(of_groups).sum()
    spherical = np.eye(DIM) * np.trace(covariance) / DIM
    noise = (fourth - (covariance**2).sum()) / count
    share = min(1.0, noise / ((covariance - spherical) ** 2).sum())
    expected = (1.0 - share) * covariance + share * spherical
    assert shrunk_covariance(data, HELD) == pytest.approx(expected, abs=1e-12)


def test_the_corpus_and_the_targets_count_half_each(data: Data) -> None:
    assert data.corpus is not None
    pooled = (shrunk_covariance(data, HELD) + data.corpus.covariance) / 2.0
    basis, _ = find_directions(data, HELD, plain("m0"), "corpus")
    assert basis is not None
    turned = basis.T.astype(np.float64) @ pooled @ basis
    assert turned == pytest.approx(np.diag(np.linalg.eigvalsh(pooled)), abs=1e-7)


def flat_world() -> World:
    """Targets that vary in four directions of twelve; members whose noise lies in all."""
    world, rng = make_world(), np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    drawn = rng.normal(size=(len(world) // TIMES, DIM)) * np.r_[np.ones(4), np.zeros(DIM - 4)]
    targets = unit_rows(np.repeat(drawn @ turn + 0.3 * turn[0], TIMES, axis=0))
    noisy = {
        name: (targets + rng.normal(size=targets.shape) * 0.5).astype(np.float32)
        for name in world.members
    }
    return replace(world.with_members(noisy), targets=targets.astype(np.float32))


def test_noise_where_targets_do_not_vary_is_damped(tmp_path: Path) -> None:
    data, held_out = flat_world().data(tmp_path), frozenset({0})
    fitted, base = (
        blender.fit(data, held_out, 0) for blender in (Gains(basis="targets"), Weighted())
    )
    rows = data.fold_rows(0)
    gain = fitted.cosines(data, rows, held_out) - base.cosines(data, rows, held_out)
    assert gain.mean() > 0.02


def test_targets_aside_change_nothing(tmp_path: Path) -> None:
    world = flat_world()
    other, held_out = world.targets.copy(), np.array(world.samples["fold"]) == "2"
    other[held_out] = unit_rows(np.random.default_rng(6).normal(size=other.shape))[held_out]
    found = []
    for name, targets in (("as_is", world.targets), ("changed", other.astype(np.float32))):
        (tmp_path / name).mkdir()
        data = replace(world, targets=targets).data(tmp_path / name)
        found.append([Gains(basis=basis).fit(data, frozenset({2}), 0) for basis in BASES])
    for before, after in zip(*found, strict=True):
        assert before.strength == after.strength
        assert before.blend.gains.tolist() == after.blend.gains.tolist()


def test_a_refit_keeps_the_strength_and_learns_the_rest_anew(data: Data) -> None:
    fitted = Gains(base=Gated()).fit(data, NONE_HELD_OUT, 0)
    refitted = fitted.refitted(data, HELD)
    assert refitted.strength == fitted.strength
    assert isinstance(refitted.blend.base, type(fitted.blend.base))
    directions = find_directions(data, HELD, refitted.blend.base, "corpus")
    assert refitted.blend.gains.tolist() == directions.gains[fitted.strength.gains].tolist()


def test_the_objective_is_the_mean_cosine_of_the_training_rows(data: Data) -> None:
    fitted, rows = Gains().fit(data, HELD, 0), data.training_rows(HELD)
    cosines = fitted.cosines(data, rows, HELD)
    expected = np.average(cosines, weights=data.statistics.weight[rows])
    assert fitted.objective == pytest.approx(expected)


def test_without_a_choice_the_corpus_is_taken_where_there_is_one(data: Data) -> None:
    assert Gains().fit(data, NONE_HELD_OUT, 0).basis == "corpus"
    assert Gains().fit(replace(data, corpus=None), NONE_HELD_OUT, 0).basis == "targets"


def test_the_basis_of_a_corpus_that_is_not_there_is_refused_with_the_remedy(data: Data) -> None:
    with pytest.raises(InputError, match=r"--corpus.*ensembler data corpus.*basis=targets"):
        Gains(basis="corpus").fit(replace(data, corpus=None), NONE_HELD_OUT, 0)


def test_a_corpus_of_another_dimension_is_refused(data: Data) -> None:
    assert data.corpus is not None
    wide = replace(data.corpus, mean=np.zeros(7), covariance=np.eye(7))
    with pytest.raises(InputError, match=r"the corpus has 7 dimensions.*have 12"):
        Gains().fit(replace(data, corpus=wide), NONE_HELD_OUT, 0)


def test_chains_on_one_base_share_its_fit(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, fit = [], Weighted.fit

    def counted(blender: Weighted, data: Data, held_out: HeldFolds, seed: int) -> FittedWeights:
        begun.append(held_out)
        return fit(blender, data, held_out, seed)

    monkeypatch.setattr(Weighted, "fit", counted)
    anew = replace(data, jobs=data.jobs)  # nothing is kept of other tests' fits
    for blender in (Gains(), Gains(base=Gated()), Gated(), Ridge(base=Gains()), Nested()):
        blender.fit(anew, HELD, 0)
    assert begun == [HELD]
