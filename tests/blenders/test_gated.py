"""Gates: by vectors and by statistics, against rows added up one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.gains import Gains
from ensembler.blenders.gated import FittedGates, Gated
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.gates import Gates
from ensembler.blending import problem
from ensembler.blending.apply import WeightedSum
from ensembler.blending.gating import gates_of
from ensembler.blends.gated import GatedBlend
from ensembler.errors import InputError
from ensembler.metrics import unit_rows
from ensembler.testing.worlds import UNCOVERED, World, make_world

Vectors = NDArray[np.float64]


def naive_rows(
    blend: GatedBlend, rows: Mapping[str, NDArray[np.float32]], priors: Vectors
) -> Vectors:
    """The blend row by row, as its formula says."""
    numbers, found = blend.numbers, []
    for i, prior in enumerate(priors):
        parts = {}
        for m, name in enumerate(blend.members):
            stored = rows[name][i].astype(np.float64)
            if stored.any():
                mean = 0.0 if numbers.means is None else numbers.means[m].astype(np.float64)
                parts[m] = stored - mean
        unit = {m: x / np.linalg.norm(x) for m, x in parts.items()}
        agrees = {m: np.mean([unit[m] @ unit[n] for n in unit if n != m] or [0.0]) for m in unit}
        total = numbers.prior_weight * prior
        for m, x in parts.items():
            gate = np.exp(blend.agreement * (agrees[m] - np.mean(list(agrees.values()))))
            total = total + numbers.weights[m] * gate * x * np.linalg.norm(x) ** -numbers.alphas[m]
        found.append(total / np.linalg.norm(total) if parts else prior)
    return np.array(found)


def doubtful_world() -> World:
    """Members that are right on most rows and say anything on the others."""
    world, rng = make_world(), np.random.default_rng(3)
    members = {}
    for name in world.members:
        wild = rng.normal(size=world.targets.shape)
        doubt = (rng.random(len(world)) < 0.4)[:, None]
        spoken = np.where(doubt, wild, world.targets + 0.1 * wild)
        members[name] = unit_rows(spoken).astype(np.float32)
    return world.with_members(members)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    world = make_world().with_weight(lambda name: 1.0 + int(name[1:]) % 3)
    return world.data(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def fitted(data: Data) -> FittedGates:
    """With both gates in force, whatever is best."""
    plain = Gated().fit(data, NONE_HELD_OUT, 0)
    return replace(plain, gates=Gates(3.0, 0.5)).refitted(data, NONE_HELD_OUT)


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return doubtful_world().data(tmp_path_factory.mktemp("doubtful"))


@pytest.mark.parametrize("centred", [False, True])
def test_rows_are_blended_as_the_formula_says(centred: bool) -> None:
    world, rng = make_world(), np.random.default_rng(4)
    names = tuple(world.members)
    means = rng.normal(size=(len(names), world.targets.shape[1])).astype(np.float32)
    numbers = WeightedSum(
        prior_weight=0.3,
        weights=rng.uniform(0.1, 1.0, len(names)),
        alphas=np.array([0.0, 1.0, 0.5, 1.5]),
        means=means if centred else None,
    )
    blend = GatedBlend(members=names, numbers=numbers, agreement=2.5)
    priors = unit_rows(rng.normal(size=world.targets.shape))
    blended = blend.apply(world.members, priors)
    assert blended.vectors == pytest.approx(naive_rows(blend, world.members, priors), abs=1e-12)
    assert np.flatnonzero(blended.absent).tolist() == [UNCOVERED]


def test_statistics_and_vectors_agree_on_every_cosine(data: Data, fitted: FittedGates) -> None:
    rows = np.arange(len(data.statistics))
    for held_out in (NONE_HELD_OUT, frozenset({1})):
        by_vectors = data.cosines(fitted.blend, rows, held_out)
        assert fitted.cosines(data, rows, held_out) == pytest.approx(by_vectors, abs=1e-6)


def test_weights_are_the_best_under_their_gates(data: Data, fitted: FittedGates) -> None:
    rows = np.arange(len(data.statistics))
    weight = data.statistics.weight / data.statistics.weight.sum()
    assert fitted.objective == pytest.approx(
        weight @ data.cosines(fitted.blend, rows, NONE_HELD_OUT)
    )
    rng, numbers = np.random.default_rng(5), fitted.blend.numbers
    for _ in range(40):
        shift = rng.normal(scale=0.05, size=len(numbers.weights))
        other = replace(numbers, weights=np.maximum(numbers.weights * (1.0 + shift), 0.0))
        score = weight @ data.cosines(replace(fitted.blend, numbers=other), rows, NONE_HELD_OUT)
        assert score <= fitted.objective + 1e-7


def test_without_gates_the_weights_are_the_base_s(data: Data) -> None:
    rows = np.arange(len(data.statistics))
    ungated = replace(Gated().fit(data, NONE_HELD_OUT, 0), gates=Gates(0.0, 0.0)).refitted(
        data, NONE_HELD_OUT
    )
    base = Weighted().fit(data, NONE_HELD_OUT, 0)
    assert ungated.objective == pytest.approx(base.objective, abs=1e-7)
    assert ungated.cosines(data, rows, NONE_HELD_OUT) == pytest.approx(
        base.cosines(data, rows, NONE_HELD_OUT), abs=1e-3
    )


def test_members_that_agree_are_trusted_where_it_pays(doubtful: Data) -> None:
    held_out = frozenset({0})
    gated, base = Gated().fit(doubtful, held_out, 0), Weighted().fit(doubtful, held_out, 0)
    rows = doubtful.fold_rows(0)
    assert gated.gates.agreement > 0.0
    gain = gated.cosines(doubtful, rows, held_out) - base.cosines(doubtful, rows, held_out)
    assert gain.mean() > 0.01


def test_rows_too_many_to_be_held_are_gated_alike(
    data: Data, fitted: FittedGates, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(len(data.statistics))
    held = fitted.cosines(data, rows, NONE_HELD_OUT)
    monkeypatch.setattr(problem, "HELD_BYTES", 0)
    assert fitted.cosines(data, rows, NONE_HELD_OUT).tolist() == held.tolist()


def test_a_gate_by_length_is_another_exponent(fitted: FittedGates) -> None:
    voters = fitted.structure.voters
    assert fitted.blend.numbers.alphas.tolist() == (fitted.structure.alphas[voters] - 0.5).tolist()


def test_a_row_of_one_member_is_not_gated_and_absent_members_have_no_say() -> None:
    together = np.array([[0.9, 0.0, 0.6], [0.1, 0.0, 0.6], [9.9, 9.9, 9.9]])
    present = np.array([[True, True, True], [True, False, True], [False, False, False]])
    gates = gates_of(2.0, together, present)
    assert gates[:, 0] == pytest.approx([np.exp(0.8), np.exp(-0.8), 1.0])
    assert gates[:, 1:].tolist() == np.ones((3, 2)).tolist()


def test_targets_aside_change_nothing(tmp_path: Path) -> None:
    world = doubtful_world()
    other = world.targets.copy()
    held_out = np.array(world.samples["fold"]) == "2"
    other[held_out] = unit_rows(np.random.default_rng(6).normal(size=other.shape))[held_out]
    blends = []
    for name, targets in (("as_is", world.targets), ("changed", other)):
        (tmp_path / name).mkdir()
        seen = replace(world, targets=targets.astype(np.float32)).data(tmp_path / name)
        blends.append(Gated().fit(seen, frozenset({2}), 0).blend)
    assert blends[0].agreement == blends[1].agreement
    assert blends[0].numbers.weights.tolist() == blends[1].numbers.weights.tolist()
    assert blends[0].numbers.prior_weight == blends[1].numbers.prior_weight


def test_a_base_that_is_not_plain_weights_is_refused_with_the_remedy(data: Data) -> None:
    with pytest.raises(InputError, match=r"gated stands on plain weights.*as in gated\+gains"):
        Gated(base=Gains()).fit(data, NONE_HELD_OUT, 0)
