"""A composed spec applied to a store: its own blend, or plain weights where a member is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.blends.gated import GatedBlend
from ensembler.blends.linear import LinearBlend
from ensembler.errors import SpecError
from ensembler.inference import blend as blend_module
from ensembler.inference.blend import predict_store
from ensembler.metrics import unit_rows
from ensembler.spec.loading import load_spec
from ensembler.spec.model import EnsembleSpec
from ensembler.store.reader import Store
from tests.composed_specs import composed, every_kind, row_by_hand, weights

DIM = 6
IDS = [f"{number:03x}" for number in (7, 1, 900, 4, 92, 5, 6, 3, 2, 8, 33)]
NAMES = ["a", "b", "c"]
PRIOR = unit_rows(np.arange(1.0, 1.0 + DIM)[None])[0].astype(np.float32)

MakeStore = Callable[..., Store]
MakeSpec = Callable[..., EnsembleSpec]
Members = dict[str, NDArray[np.float32]]


def equal(count: int, *, prior: float) -> WeightedSum:
    """Equal weights of unit rows."""
    left = np.full(count, (1.0 - prior) / count)
    return WeightedSum(prior_weight=prior, weights=left, alphas=np.ones(count), means=None)


@pytest.fixture
def members() -> Members:
    """Every row but the first and the fourth is whole; the fourth has no member at all."""
    drawn = np.random.default_rng(3).standard_normal((len(NAMES), len(IDS), DIM))
    found = dict(zip(NAMES, drawn.astype(np.float32), strict=True))
    found["a"][[0, 3]] = 0.0
    found["b"][[3, 10]] = 0.0
    found["c"][[3, 5, 10]] = 0.0
    return found


@pytest.fixture
def plain(make_spec: MakeSpec) -> EnsembleSpec:
    """What stands in: equal weights."""
    return make_spec(NAMES, equal(3, prior=0.25), PRIOR)


@pytest.fixture
def spec(plain: EnsembleSpec) -> EnsembleSpec:
    return composed(plain, every_kind(NAMES, DIM))


@pytest.mark.parametrize("block", [1, 3, 4096])
def test_every_kind_of_blend_is_predicted_as_by_hand_whatever_the_blocks(
    spec: EnsembleSpec,
    members: Members,
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    block: int,
) -> None:
    monkeypatch.setattr(blend_module, "BLOCK", block)
    spec.save(tmp_path / "ensemble.json")
    prediction = predict_store(load_spec(tmp_path / "ensemble.json"), make_store(IDS, members))
    made, prior = every_kind(NAMES, DIM), unit_rows(PRIOR[None])[0]
    for i in range(len(IDS)):
        rows = {name: vectors[i].astype(np.float64) for name, vectors in members.items()}
        expected = row_by_hand(made, rows, prior)
        np.testing.assert_allclose(prediction.embeddings[i], expected, rtol=0, atol=1e-6)
    assert (prediction.prior_rows, prediction.cancelled_rows) == (1, 0)
    assert set(prediction.members) == set(NAMES)
    assert prediction.missing_members == ()


def test_shuffled_samples_and_members_get_the_same_rows(
    spec: EnsembleSpec, members: Members, make_store: MakeStore
) -> None:
    prediction = predict_store(spec, make_store(IDS, members))
    order = np.random.default_rng(0).permutation(len(IDS))
    other = {name: members[name][order] for name in reversed(NAMES)}
    shuffled = predict_store(spec, make_store([IDS[i] for i in order], other))
    np.testing.assert_array_equal(shuffled.embeddings, prediction.embeddings[order])


def test_without_a_member_the_plain_weights_of_the_others_stand_in(
    spec: EnsembleSpec, plain: EnsembleSpec, members: Members, make_store: MakeStore
) -> None:
    del members["b"]
    store = make_store(IDS, members)
    prediction, expected = predict_store(spec, store), predict_store(plain, store)
    np.testing.assert_array_equal(prediction.embeddings, expected.embeddings)
    assert (prediction.members, prediction.missing_members) == (("a", "c"), ("b",))


def test_a_member_that_only_votes_must_be_there_too(
    plain: EnsembleSpec, members: Members, make_store: MakeStore
) -> None:
    numbers = weights(3, DIM, 0)
    numbers.weights[1] = 0.0
    voting = composed(plain, GatedBlend(members=tuple(NAMES), numbers=numbers, agreement=3.0))
    whole = predict_store(voting, make_store(IDS, members))
    members["b"] = members["b"][::-1].copy()
    other = predict_store(voting, make_store(IDS, members))
    assert np.abs(whole.embeddings - other.embeddings).max() > 1e-3
    del members["b"]
    assert predict_store(voting, make_store(IDS, members)).missing_members == ("b",)


def test_a_row_that_cancels_gets_the_prior_and_is_counted(
    make_spec: MakeSpec, members: Members, make_store: MakeStore
) -> None:
    alone = make_spec(["a"], equal(1, prior=0.0), PRIOR)
    opposite = LinearBlend(
        base=None,
        mapped=("a",),
        alphas=np.ones(1),
        means=None,
        scale=1.0,
        maps=-np.outer(np.ones(DIM), PRIOR / PRIOR.sum()).astype(np.float32)[None],
    )
    vectors = members["a"]
    vectors[:] = PRIOR  # mapped, once of unit length, to the prior's opposite
    prediction = predict_store(composed(alone, opposite), make_store(IDS, {"a": vectors}))
    assert (prediction.prior_rows, prediction.cancelled_rows) == (0, len(IDS))
    np.testing.assert_allclose(prediction.embeddings, np.tile(PRIOR, (len(IDS), 1)), atol=1e-7)


def test_a_member_of_another_dimension_is_refused(
    spec: EnsembleSpec, members: Members, make_store: MakeStore
) -> None:
    store = make_store(IDS, {name: vectors[:, :3] for name, vectors in members.items()})
    with pytest.raises(SpecError, match="the spec blends 6 numbers per row, but member a has 3"):
        predict_store(spec, store)
