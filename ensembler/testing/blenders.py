"""The conformance suite of blenders, as a pytest class: subclass it and supply `blender`.

class TestMine(BlenderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def blender(cls):
        return Mine(strength=0.5)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, FittedBlend, Property
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.registry import parse_blender
from ensembler.metrics import paired_cosine
from ensembler.testing.worlds import UNCOVERED, World, make_echoed_world, make_world

Vector = NDArray[np.float64]
MakeData = Callable[[World], Data]

HELD: HeldFolds = frozenset({0})  # the fold that most claims hold out and look at
SEED = 3
NOISE = 2.0  # standard errors by which chance may put a blender below its fallback


class BlenderConformance:
    """The promises of `Blender` and `FittedBlend`, each as a test.

    `tolerance` is how far a row of unit length may move under a change that should not move it:
    solvers stop where float32 statistics show no more gain.
    """

    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture(scope="class")
    @classmethod
    def blender(cls) -> Blender:
        """The blender under test: each subclass supplies its own."""
        raise NotImplementedError("a conformance suite needs a fixture `blender`")

    @pytest.fixture(scope="class")
    @classmethod
    def make_data(cls, tmp_path_factory: pytest.TempPathFactory) -> MakeData:
        """A function from a world to its `Data`, which is made once for all blenders."""
        known: dict[bytes, Data] = {}

        def make(world: World) -> Data:
            if world.digest not in known:
                known[world.digest] = world.data(tmp_path_factory.mktemp("world"))
            return known[world.digest]

        return make

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls) -> World:
        """A world of 96 rows in 24 groups and 4 folds, with four members of partial coverage."""
        return make_world()

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls, make_data: MakeData, world: World) -> Data:
        """The world as blenders see it."""
        return make_data(world)

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, blender: Blender, data: Data) -> FittedBlend:
        """The blender's fit without the fold held out."""
        return blender.fit(data, HELD, SEED)

    @pytest.fixture(scope="class")
    @classmethod
    def unseen(cls, fitted: FittedBlend, data: Data) -> Mapping[str, Vector]:
        """The fit's prediction of the rows held out: id → (d,) of unit length."""
        return _blended(fitted, data)

    def test_it_is_plain_options_and_says_what_it_is(self, blender: Blender) -> None:
        assert is_dataclass(type(blender))
        assert hash(copy(blender)) == hash(blender)  # fits are kept by their blender's options
        assert (type(blender).__doc__ or "").strip()
        assert all(isinstance(kept, Property) for kept in blender.properties)
        assert parse_blender(blender.fallback).name == blender.fallback

    def test_a_fit_says_how_it_ended_and_what_it_scores(
        self, fitted: FittedBlend, data: Data
    ) -> None:
        rows = data.training_rows(HELD)
        scored = np.average(fitted.cosines(data, rows, HELD), weights=data.statistics.weight[rows])
        assert fitted.status
        assert fitted.evaluations >= 1
        assert fitted.objective == pytest.approx(scored, abs=1e-6)

    def test_the_same_data_and_seed_give_the_same_bytes(
        self,
        blender: Blender,
        world: World,
        fitted: FittedBlend,
        unseen: Mapping[str, Vector],
        tmp_path: Path,
    ) -> None:
        data = world.data(tmp_path)  # anew: nothing of the first fit is kept in it
        again = blender.fit(data, HELD, SEED)
        assert (again.status, again.objective) == (fitted.status, fitted.objective)
        for name, vector in _blended(again, data).items():
            assert vector.tobytes() == unseen[name].tobytes()

    def test_vectors_score_what_the_fit_says(
        self, fitted: FittedBlend, data: Data, world: World, unseen: Mapping[str, Vector]
    ) -> None:
        rows = data.fold_rows(0)
        vectors = np.stack([unseen[world.ids[row]] for row in rows])
        scored = paired_cosine(vectors, world.targets[rows])
        assert np.abs(fitted.cosines(data, rows, HELD) - scored).max() < 2e-6

    def test_rows_have_unit_length_and_a_row_without_members_is_the_prior(
        self, blender: Blender, data: Data, world: World
    ) -> None:
        fold = int(world.samples["fold"][UNCOVERED])
        held = frozenset({fold})
        blended = _blended(blender.fit(data, held, SEED), data, fold)
        lengths = [np.linalg.norm(vector) for vector in blended.values()]
        assert np.allclose(lengths, 1.0, atol=1e-6)
        others = np.array([float(f) != fold for f in world.samples["fold"]])
        prior = world.targets[others].astype(np.float64).sum(axis=0)
        uncovered = blended[world.ids[UNCOVERED]]
        assert np.allclose(uncovered, prior / np.linalg.norm(prior), atol=1e-6)

    def test_the_order_of_members_changes_nothing(
        self, blender: Blender, make_data: MakeData, world: World, unseen: Mapping[str, Vector]
    ) -> None:
        names = sorted(world.members, key=lambda name: int(name[1:]) % 3)
        data = make_data(world.with_members({name: world.members[name] for name in names}))
        self._same(unseen, _blended(blender.fit(data, HELD, SEED), data))

    def test_the_order_of_rows_changes_nothing(
        self, blender: Blender, make_data: MakeData, world: World, unseen: Mapping[str, Vector]
    ) -> None:
        data = make_data(world.take(np.random.default_rng(1).permutation(len(world))))
        self._same(unseen, _blended(blender.fit(data, HELD, SEED), data))

    def test_a_row_of_weight_2_is_the_row_twice(
        self, blender: Blender, make_data: MakeData
    ) -> None:
        echoed = make_echoed_world()
        heavy = make_data(echoed.with_weight(lambda name: 1.0 + name.startswith("s")))
        half = len(echoed) // 2
        twice = echoed.take([*range(half), *range(2 * half)])
        ids = [f"t{name}" for name in echoed.ids[:half]] + list(echoed.ids)
        doubled = make_data(replace(twice, samples={**twice.samples, "id": ids}))
        actual = _blended(blender.fit(doubled, HELD, SEED), doubled)
        expected = _blended(blender.fit(heavy, HELD, SEED), heavy)
        self._same(expected, {name: actual[name] for name in expected})

    def test_a_row_of_weight_0_changes_nothing(self, blender: Blender, make_data: MakeData) -> None:
        echoed = make_echoed_world()
        with_them = make_data(echoed.with_weight(lambda name: float(name.startswith("s"))))
        without = make_data(echoed.take(range(len(echoed) // 2)))
        actual = _blended(blender.fit(with_them, HELD, SEED), with_them)
        expected = _blended(blender.fit(without, HELD, SEED), without)
        self._same(expected, {name: actual[name] for name in expected})

    def test_the_targets_of_held_out_folds_are_not_known(
        self, blender: Blender, make_data: MakeData, world: World, unseen: Mapping[str, Vector]
    ) -> None:
        targets = world.targets.copy()
        held = np.array([fold == "0" for fold in world.samples["fold"]])
        targets[held] = -targets[held][::-1]
        data = make_data(replace(world, targets=targets))
        self._same(unseen, _blended(blender.fit(data, HELD, SEED), data))

    def test_a_refit_on_the_same_folds_is_the_fit(
        self, fitted: FittedBlend, data: Data, unseen: Mapping[str, Vector]
    ) -> None:
        again = fitted.refitted(data, HELD)
        assert again.objective == pytest.approx(fitted.objective, abs=1e-6)
        self._same(unseen, _blended(again, data))

    @pytest.mark.parametrize("held_out", [frozenset({0, 1, 2}), frozenset({0, 2, 3})])
    def test_one_fold_is_enough_to_fit_and_refit_on(
        self, blender: Blender, fitted: FittedBlend, data: Data, held_out: HeldFolds
    ) -> None:
        for fit in (blender.fit(data, held_out, SEED), fitted.refitted(data, held_out)):
            vectors = np.stack(list(_blended(fit, data).values()))
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)

    def test_one_member_is_enough(
        self, blender: Blender, make_data: MakeData, world: World
    ) -> None:
        data = make_data(world.with_members({"m1": world.members["m1"]}))
        vectors = np.stack(list(_blended(blender.fit(data, HELD, SEED), data).values()))
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)

    @pytest.mark.parametrize("names", [("m3",), ("m0", "m1", "m2", "m3")])
    def test_members_without_a_training_row_do_no_harm(
        self, blender: Blender, make_data: MakeData, world: World, names: Sequence[str]
    ) -> None:
        held = np.array([fold == "0" for fold in world.samples["fold"]])[:, None]
        members = {
            name: np.where(held, vectors, 0.0).astype(np.float32) if name in names else vectors
            for name, vectors in world.members.items()
        }
        data = make_data(world.with_members(members))
        vectors = np.stack(list(_blended(blender.fit(data, HELD, SEED), data).values()))
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)

    def test_held_out_it_is_not_below_its_fallback_beyond_noise(
        self, blender: Blender, data: Data
    ) -> None:
        has_none = blender.fallback == blender.name
        fallback = blender if has_none else parse_blender(blender.fallback)
        lead = _held_out(blender, data) - _held_out(fallback, data)
        _, group = np.unique(data.store.samples.group, return_inverse=True)
        means = np.bincount(group, lead) / np.bincount(group)  # groups are of one size
        error = means.std(ddof=1) / np.sqrt(len(means))
        assert means.mean() >= -NOISE * error - 1e-6

    def test_each_declared_property_holds(
        self, blender: Blender, make_data: MakeData, world: World, fitted: FittedBlend, data: Data
    ) -> None:
        unseen = _blended(fitted, data)
        if Property.DUPLICATE_INVARIANT in blender.properties:
            twins = world.with_members({**world.members, "twin": world.members["m0"]})
            self._same(unseen, self._refit(blender, make_data(twins)))
        if Property.SCALE_INVARIANT in blender.properties:
            longer = {**world.members, "m1": world.members["m1"] * np.float32(3.0)}
            self._same(unseen, self._refit(blender, make_data(world.with_members(longer))))
        if Property.NEVER_BELOW_SINGLES in blender.properties:
            assert fitted.objective >= _best_single(data, world) - 1e-6

    def _refit(self, blender: Blender, data: Data) -> Mapping[str, Vector]:
        return _blended(blender.fit(data, HELD, SEED), data)

    def _same(self, expected: Mapping[str, Vector], actual: Mapping[str, Vector]) -> None:
        assert expected.keys() == actual.keys()
        moved = max(np.abs(actual[name] - vector).max() for name, vector in expected.items())
        assert moved <= self.tolerance


def _blended(fitted: FittedBlend, data: Data, fold: int = 0) -> dict[str, Vector]:
    """The blended rows of one fold, from a fit that has not seen it, by id."""
    ids = data.store.samples.id
    return {
        str(ids[row]): vector
        for block in data.blended(fitted.blend, data.fold_rows(fold), frozenset({fold}))
        for row, vector in zip(block.rows, block.blended.vectors, strict=True)
    }


def _held_out(blender: Blender, data: Data) -> Vector:
    """Each row's cosine under the fit without its fold: (n,)."""
    cosines = np.empty(len(data.statistics))
    for fold in data.inner_folds(NONE_HELD_OUT):
        held, rows = frozenset({fold}), data.fold_rows(fold)
        cosines[rows] = blender.fit(data, held, SEED).cosines(data, rows, held)
    return cosines


def _best_single(data: Data, world: World) -> float:
    """The best member's mean cosine on the training rows, the prior where it has no row."""
    rows = data.training_rows(HELD)
    priors = data.priors(HELD)[data.statistics.fold[rows]]
    scores = []
    for vectors in world.members.values():
        member = vectors[rows].astype(np.float64)
        predicted = np.where(member.any(axis=1, keepdims=True), member, priors)
        scores.append(paired_cosine(predicted, world.targets[rows]).mean())
    return float(max(scores))
