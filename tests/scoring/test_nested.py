"""Held-out scores against vectors: no row is scored by anything that saw its fold's targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from ensembler import api
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.metrics import paired_cosine, unit_rows
from ensembler.scoring.baselines import baseline_fits
from ensembler.scoring.contributions import alone, losses_without
from ensembler.scoring.nested import Nested, nested_cosines
from ensembler.search.definition import StudyDefinition
from ensembler.search.searching import search, without_member
from ensembler.search.space import Space
from ensembler.store.reader import Store

Make = Callable[..., Any]
Vectors = NDArray[np.float64]
ROWS, MEMBERS = 120, 4


class World(NamedTuple):
    """A store with folds, a short study on it, and its vectors in memory."""

    store: Store
    space: Space
    statistics: Statistics
    members: list[Vectors]
    targets: Vectors
    fold: NDArray[np.int64]

    def prior(self, *without: int) -> Vectors:
        """The unit mean target of all folds but some."""
        kept = ~np.isin(self.fold, without)
        return unit_rows(self.targets[kept].sum(axis=0, keepdims=True)).reshape(-1)

    def fit(self, rows: NDArray[np.int64], held_out: int | None) -> Weighting:
        return search(self.space, self.statistics, rows, held_out).weighting

    def nested(self) -> Nested:
        return nested_cosines(self.statistics, self.fit)


@pytest.fixture(scope="module")
def data(generate: Make) -> Any:  # noqa: ANN401 - what tests/conftest.py calls Generated
    """Members of partial coverage; five rows that none of them covers."""
    made = generate("partial", rows=ROWS, members=MEMBERS)
    for vectors in made.members.values():
        vectors[::24] = 0.0
    return made


@pytest.fixture(scope="module")
def make_world(data: Any, write_store: Make, prepare: Make) -> Make:  # noqa: ANN401 - as above
    """`make_world(targets)`: the same members and folds, perhaps other targets."""
    fold = np.array([int(group[1:]) % 5 for group in data.groups])

    def make(targets: Vectors) -> World:
        store = write_store(targets, data.members, groups=data.groups, folds=fold)
        members = [vectors.astype(np.float64) for vectors in data.members.values()]
        space, statistics = prepare(store, trials=30)
        return World(store, space, statistics, members, unit_rows(targets), fold)

    return make


@pytest.fixture(scope="module")
def world(make_world: Make, data: Any) -> World:  # noqa: ANN401 - as above
    made = make_world(data.targets)
    assert isinstance(made, World)
    return made


def test_held_out_cosines_equal_a_slow_loop_over_vectors(world: World, naive_cosines: Make) -> None:
    nested = world.nested()
    means = [vectors[vectors.any(axis=1)].mean(axis=0) for vectors in world.members]
    for fold in range(5):
        rows = np.flatnonzero(world.fold == fold)
        found = search(world.space, world.statistics, np.flatnonzero(world.fold != fold), fold)
        expected = naive_cosines(
            [vectors[rows] for vectors in world.members],
            world.targets[rows],
            np.tile(world.prior(fold), (len(rows), 1)),
            weights=found.weighting.weights,
            alphas=found.weighting.alphas,
            means=means if found.weighting.centred else None,
        )
        np.testing.assert_allclose(nested.cosines[rows], expected, atol=2e-6)


def test_a_search_scores_its_rows_with_priors_of_neither_their_fold_nor_the_held_out_one(
    world: World, naive_cosines: Make
) -> None:
    rows = np.flatnonzero(world.fold != 2)
    found = search(world.space, world.statistics, rows, 2)
    means = [vectors[vectors.any(axis=1)].mean(axis=0) for vectors in world.members]
    expected = naive_cosines(
        [vectors[rows] for vectors in world.members],
        world.targets[rows],
        np.stack([world.prior(2, fold) for fold in world.fold[rows]]),
        weights=found.weighting.weights,
        alphas=found.weighting.alphas,
        means=means if found.weighting.centred else None,
    )
    assert found.best.value == pytest.approx(expected.mean(), abs=1e-6)


@pytest.mark.parametrize("fold", range(5))
def test_the_targets_of_a_fold_do_not_move_what_predicts_it(
    fold: int,
    world: World,
    make_world: Make,
    data: Any,  # noqa: ANN401 - as above
) -> None:
    changed = data.targets.copy()
    aside = world.fold == fold
    changed[aside] = np.random.default_rng(fold).normal(size=changed[aside].shape)
    other = make_world(changed)
    assert other.nested().weightings[fold] == world.nested().weightings[fold]
    for name, fit in baseline_fits(other.statistics).items():
        before = nested_cosines(world.statistics, baseline_fits(world.statistics)[name])
        assert nested_cosines(other.statistics, fit).weightings[fold] == before.weightings[fold]
    np.testing.assert_array_equal(other.prior(fold), world.prior(fold))


def test_the_fit_reports_the_nested_score_and_baselines_of_the_vectors(world: World) -> None:
    study = StudyDefinition(trials=30)
    scores = api.fit(world.store, study=study).spec.scores
    assert scores.held_out is not None
    assert scores.baselines is not None
    assert scores.held_out.score == pytest.approx(world.nested().cosines.mean(), abs=5e-8)
    units = np.stack([unit_rows(vectors) for vectors in world.members])
    priors = np.stack([world.prior(fold) for fold in world.fold])
    uniform = np.where(np.any(units, axis=(0, 2), keepdims=True)[0], units.mean(axis=0), priors)
    best = np.empty_like(priors)
    for fold in range(5):
        train = np.flatnonzero(world.fold != fold)
        inner = np.stack([world.prior(fold, own) for own in world.fold[train]])
        single = [np.where(u[train].any(axis=1)[:, None], u[train], inner) for u in units]
        means = [paired_cosine(rows, world.targets[train]).mean() for rows in single]
        chosen = units[int(np.argmax(means))]
        rows = world.fold == fold
        best[rows] = np.where(chosen[rows].any(axis=1)[:, None], chosen[rows], priors[rows])
    for name, vectors in {"prior": priors, "uniform": uniform, "single_best": best}.items():
        expected = paired_cosine(vectors, world.targets).mean()
        assert getattr(scores.baselines, name) == pytest.approx(expected, abs=1e-6)
        lead = scores.held_out.versus[name].difference
        assert lead == pytest.approx(scores.held_out.score - expected, abs=2e-6)


def test_alone_is_the_mean_over_the_rows_a_member_covers(world: World) -> None:
    rows, means = alone(world.statistics)
    for m, vectors in enumerate(world.members):
        covered = vectors.any(axis=1)
        assert rows[m] == covered.sum()
        expected = paired_cosine(vectors[covered], world.targets[covered]).mean()
        assert means[m] == pytest.approx(expected, abs=1e-6)


def test_losses_without_a_member_equal_solving_the_others_on_vectors(world: World) -> None:
    nested = world.nested()

    losses = losses_without(world.statistics, nested, partial(without_member, world.space))
    expected = np.zeros(MEMBERS)
    for fold, weighting in enumerate(nested.weightings):
        train, test = np.flatnonzero(world.fold != fold), np.flatnonzero(world.fold == fold)
        inner = np.stack([world.prior(fold, own) for own in world.fold[train]])
        outer = np.tile(world.prior(fold), (len(test), 1))
        columns = _columns(world, weighting)
        for member in range(MEMBERS):
            others = [m for m in range(MEMBERS) if m != member]
            solved = _solve(columns[others][:, train], inner, world.targets[train])
            cosines = _score(solved, columns[others][:, test], outer, world.targets[test])
            expected[member] += (nested.cosines[test] - cosines).sum() / ROWS
    np.testing.assert_allclose(losses, expected, atol=2e-5)


def _columns(world: World, weighting: Weighting) -> Vectors:
    """(M, rows, d) the members under a weighting's centring and norms, zero where absent."""
    columns = []
    for vectors, alpha in zip(world.members, weighting.alphas, strict=True):
        present = np.any(vectors, axis=1, keepdims=True)
        mean = vectors[present[:, 0]].mean(axis=0) if weighting.centred else 0.0
        x = np.where(present, vectors - mean, 0.0)
        length = np.where(present, np.linalg.norm(x, axis=1, keepdims=True), 1.0)
        columns.append(x * length**-alpha)
    return np.stack(columns)


def _score(weights: Vectors, columns: Vectors, priors: Vectors, targets: Vectors) -> Vectors:
    blend = weights[0] * priors + np.tensordot(weights[1:], columns, axes=1)
    covered = np.any(columns[weights[1:] != 0.0], axis=(0, 2), keepdims=True)[0]
    return paired_cosine(np.where(covered, blend, priors), targets)


def _solve(columns: Vectors, priors: Vectors, targets: Vectors) -> Vectors:
    start = np.full(1 + len(columns), 1.0 / (1 + len(columns)))
    found = minimize(
        lambda w: -_score(w, columns, priors, targets).mean(),
        start,
        bounds=[(0.0, None)] * len(start),
        method="L-BFGS-B",
        options={"ftol": 1e-13, "gtol": 1e-9},
    )
    return np.asarray(found.x)
