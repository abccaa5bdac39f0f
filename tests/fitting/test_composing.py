"""Freezing what blenders found: the numbers of a spec, held against the rows by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, FittedBlend
from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.gains import Gains
from ensembler.blenders.gated import Gated
from ensembler.blenders.greedy import Greedy
from ensembler.blenders.kernel import Kernel
from ensembler.blenders.nested import Nested
from ensembler.blenders.ridge import Ridge
from ensembler.blends.contract import Blend
from ensembler.blends.linear import LinearBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.fitting.composing import freeze_fitted
from ensembler.fitting.freezing import Fitted, freeze_search, seal_fit
from ensembler.fitting.held_out import search_held_out
from ensembler.fitting.origin import FitOrigin
from ensembler.fitting.preparing import Prepared
from ensembler.fitting.searched import Searched
from ensembler.inference.blend import predict_store
from ensembler.metrics import unit_rows
from ensembler.search.searching import search
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.numbers import decode_vector
from ensembler.spec.thaw import thaw
from ensembler.spec.verify import verify
from ensembler.store.reader import Store
from tests.composed_specs import every_kind, row_by_hand

NAMES = ["m0", "m1", "m2", "m3"]
DIM = 12


@dataclass(frozen=True)
class Given:
    """What stands for a fitted blend where only its numbers matter."""

    blend: Blend
    status: str = "given"
    objective: float = 0.0
    evaluations: int = 0

    def cosines(self, data: Data, rows: NDArray[np.int64], held_out: frozenset[int]) -> Any:  # noqa: ANN401 - never asked
        raise NotImplementedError

    def refitted(self, data: Data, held_out: frozenset[int]) -> FittedBlend:
        raise NotImplementedError


@pytest.fixture(scope="module")
def data(small: Store, prepare: Callable[..., Any]) -> Data:
    space, statistics = prepare(small, trials=6)
    return Data(store=small, statistics=statistics, space=space)


@pytest.fixture(scope="module")
def stand_in(data: Data) -> Searched:
    rows = np.arange(len(data.statistics))
    return Searched(outcome=search(data.space, data.statistics, rows, None))


def frozen(
    data: Data, blend: Blend, stand_in: Searched, cosines: NDArray[np.float64] | None = None
) -> EnsembleSpec:
    return seal(data, freeze_fitted(data, Given(blend), stand_in, cosines=cosines), "some")


def seal(data: Data, fitted: Fitted, blender: str | None = None) -> EnsembleSpec:
    return seal_fit(FitOrigin(name="default", blender=blender), Prepared(data=data), fitted)


def with_weights(searched: Searched, weights: tuple[float, ...]) -> Searched:
    """A search that has found other weights."""
    found = replace(searched.outcome.weighting, weights=weights)
    return replace(searched, outcome=replace(searched.outcome, weighting=found))


def cosines_by_hand(data: Data, blend: Blend, priors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row's cosine under a blend, the row by hand."""
    blocks = {name: data.store.member(name).block(0, len(data.statistics)) for name in data.names}
    targets = unit_rows(data.store.targets())
    return np.array(
        [
            target
            @ row_by_hand(blend, {n: b[i].astype(float) for n, b in blocks.items()}, priors[i])
            for i, target in enumerate(targets)
        ]
    )


def test_the_score_in_a_composed_spec_is_that_of_its_rows_by_hand(
    data: Data, stand_in: Searched
) -> None:
    spec = frozen(data, every_kind(NAMES, DIM), stand_in)
    priors = data.priors(NONE_HELD_OUT)[data.statistics.fold]
    expected = np.average(cosines_by_hand(data, thaw(spec), priors), weights=data.statistics.weight)
    assert spec.scores.in_sample == pytest.approx(expected, abs=1e-6)


def test_a_composed_spec_verifies_on_its_store_and_not_after_a_change(
    data: Data, stand_in: Searched, tmp_path: Path
) -> None:
    frozen(data, every_kind(NAMES, DIM), stand_in).save(tmp_path / "ensemble.json")
    spec = load_spec(tmp_path / "ensemble.json")
    found = verify(spec, data.store)
    assert (found.findings, found.score) == ((), spec.scores.in_sample)
    scores = spec.scores.model_copy(update={"in_sample": spec.scores.in_sample + 1e-4})
    (moved,) = verify(spec.model_copy(update={"scores": scores}), data.store).findings
    assert moved.startswith("the blend scores")


@pytest.mark.parametrize(
    "blender",
    [Ridge(), Ridge(base=Gains(base=Gated())), Kernel(), Nested()],
    ids=lambda blender: blender.name,
)
def test_what_a_blender_finds_predicts_as_it_was_fitted(
    data: Data, stand_in: Searched, blender: Blender
) -> None:
    fitted = blender.fit(data, NONE_HELD_OUT, 0)
    spec = seal(data, freeze_fitted(data, fitted, stand_in), blender.name)
    assert spec.provenance.study["blender"] == blender.name
    rows = np.arange(len(data.statistics))
    cosines = fitted.cosines(data, rows, NONE_HELD_OUT)
    in_sample = np.average(cosines, weights=data.statistics.weight)
    assert spec.scores.in_sample == pytest.approx(in_sample, abs=1e-6)
    prior = unit_rows(decode_vector(spec.weighted.prior.vector)[None])[0]
    predicted = predict_store(spec, data.store).embeddings
    priors = np.tile(prior, (len(rows), 1))
    by_hand = cosines_by_hand(data, fitted.blend, priors)
    found = np.einsum("id,id->i", predicted, unit_rows(data.store.targets()))
    np.testing.assert_allclose(found, by_hand, atol=2e-6)


def test_a_map_of_some_members_is_kept_without_the_others_that_its_base_reads(
    data: Data, stand_in: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensembler.blenders.ridge.COLUMNS", 2 * DIM)
    blend = Ridge(strength=3.0).fit(data, NONE_HELD_OUT, 0).blend
    assert isinstance(blend, LinearBlend)
    frozen(data, blend, stand_in).save(tmp_path / "ensemble.json")
    spec = load_spec(tmp_path / "ensemble.json")
    assert isinstance(spec.blend, ComposedSpec)
    assert spec.tensors is not None
    assert spec.tensors.arrays["tree.maps"].shape == (2, DIM, DIM)
    assert {member.name for member in spec.weighted.members} == set(blend.members)
    assert len(blend.members) > 2
    prior = unit_rows(decode_vector(spec.weighted.prior.vector)[None])[0]
    expected = cosines_by_hand(data, blend, np.tile(prior, (len(data.statistics), 1)))
    predicted = predict_store(spec, data.store).embeddings
    found = np.einsum("id,id->i", predicted, unit_rows(data.store.targets()))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_held_out_scores_are_the_blends_and_shares_and_losses_those_of_the_stand_in(
    data: Data, stand_in: Searched
) -> None:
    held_out = search_held_out(data.space, data.statistics, jobs=1, progress=None)
    searched = replace(stand_in, held_out=held_out)
    own = np.random.default_rng(0).uniform(-1.0, 1.0, len(data.statistics))
    spec = frozen(data, every_kind(NAMES, DIM), searched, own)
    plain = seal(data, freeze_search(data, searched))
    assert spec.scores.held_out is not None
    assert plain.scores.held_out is not None
    assert spec.scores.held_out.score == pytest.approx(
        np.average(own, weights=data.statistics.weight), abs=1e-12
    )
    assert spec.scores.members == plain.scores.members
    assert spec.scores.baselines == plain.scores.baselines
    lead = spec.scores.held_out.score - plain.scores.held_out.score
    moved = (
        spec.scores.held_out.versus["uniform"].difference
        - plain.scores.held_out.versus["uniform"].difference
    )
    assert moved == pytest.approx(lead, abs=1e-12)


def test_a_member_of_the_tree_without_plain_weight_is_named_with_weight_0(
    data: Data, stand_in: Searched
) -> None:
    without = (0.2, 0.5, 0.3, 0.0, 0.0)
    spec = frozen(data, every_kind(NAMES, DIM), with_weights(stand_in, without))
    assert [(m.name, m.weight) for m in spec.weighted.members] == [
        ("m0", 0.5),
        ("m1", 0.3),
        ("m2", 0.0),
        ("m3", 0.0),
    ]
    assert spec.coreset.rows == 120


def test_the_stand_in_does_without_members_that_the_tree_has_not(
    data: Data, stand_in: Searched
) -> None:
    even = with_weights(stand_in, (0.2,) * 5)
    spec = frozen(data, every_kind(["m0", "m2"], DIM), even)
    assert [member.name for member in spec.weighted.members] == ["m0", "m2"]
    assert isinstance(spec.blend, ComposedSpec)
    total = spec.weighted.prior.weight + sum(m.weight for m in spec.weighted.members)
    assert total == pytest.approx(1.0, abs=1e-6)


def test_plain_weights_of_any_blender_make_a_plain_spec_without_a_search(data: Data) -> None:
    fitted = Greedy().fit(data, NONE_HELD_OUT, 0)
    assert isinstance(fitted.blend, WeightedBlend)
    cosines = fitted.cosines(data, np.arange(len(data.statistics)), NONE_HELD_OUT)
    spec = seal(data, freeze_fitted(data, fitted, None, cosines=cosines), "greedy")
    assert spec.blend is spec.weighted
    assert (spec.tensors, spec.provenance.trials) == (None, 0)
    assert [m.name for m in spec.weighted.members] == list(fitted.blend.members)
    assert spec.scores.in_sample == pytest.approx(fitted.objective, abs=1e-6)
    assert all(score.loss_without is None for score in spec.scores.members.values())
    shares = [score.share for score in spec.scores.members.values()]
    assert sum(map(abs, shares)) + abs(spec.scores.prior_share) == pytest.approx(1.0)


def test_the_searchs_own_weights_freeze_alike_either_way(data: Data, stand_in: Searched) -> None:
    plain = seal(data, freeze_search(data, stand_in))
    spec = frozen(data, thaw(plain), stand_in)
    assert spec.weighted == plain.weighted
    assert spec.scores.in_sample == plain.scores.in_sample
