"""A spec applied to a store of test embeddings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.apply import WeightedSum
from ensembler.errors import SpecError, StoreError
from ensembler.inference import blend as blend_module
from ensembler.inference.blend import predict_store
from ensembler.inference.missing import blend_without
from ensembler.spec.model import Coreset, EnsembleSpec
from ensembler.spec.numbers import encode_vector
from ensembler.store.reader import Store

DIM = 4
IDS = [f"{number:03x}" for number in (7, 1, 900, 4, 92, 5, 6, 3, 2, 8, 33)]
PRIOR = np.full(DIM, 0.5)

MakeStore = Callable[..., Store]
MakeSpec = Callable[..., EnsembleSpec]


def embeddings(seed: int, absent: tuple[int, ...] = ()) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((len(IDS), DIM)).astype(np.float32)
    vectors[list(absent)] = 0.0
    return vectors


def weighted(*weights: float, alpha: float = 1.0, prior_weight: float = 0.0) -> WeightedSum:
    return WeightedSum(
        prior_weight=prior_weight,
        weights=np.array(weights),
        alphas=np.full(len(weights), alpha),
        means=None,
    )


@pytest.mark.parametrize("block", [1, 3, 4096])
def test_prediction_agrees_with_plain_python_whatever_the_blocks(
    make_store: MakeStore,
    make_spec: MakeSpec,
    naive_row: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    block: int,
) -> None:
    monkeypatch.setattr(blend_module, "BLOCK", block)
    members = {"a": embeddings(1, (0, 3)), "b": embeddings(2, (3, 10)), "c": embeddings(3, (3, 5))}
    blend = WeightedSum(
        prior_weight=0.1,
        weights=np.array([0.5, 0.3, 0.1]),
        alphas=np.array([0.0, 1.0, 0.5]),
        means=embeddings(4)[:3] * np.float32(0.25),
    )
    prediction = predict_store(make_spec(list(members), blend, PRIOR), make_store(IDS, members))
    assert prediction.ids.tolist() == IDS
    assert prediction.embeddings.dtype == np.float32
    assert (prediction.prior_rows, prediction.cancelled_rows) == (1, 0)
    for i in range(len(IDS)):
        rows = [vectors[i] for vectors in members.values()]
        expected = naive_row(blend, PRIOR.tolist(), rows).vector
        np.testing.assert_allclose(prediction.embeddings[i], expected, rtol=0, atol=1e-7)


def test_shuffled_samples_get_the_same_rows(make_store: MakeStore, make_spec: MakeSpec) -> None:
    members = {"a": embeddings(1, (2,)), "b": embeddings(2)}
    spec = make_spec(["b", "a"], weighted(0.3, 0.7), PRIOR)
    prediction = predict_store(spec, make_store(IDS, members))
    order = np.random.default_rng(0).permutation(len(IDS))
    shuffled = predict_store(
        spec,
        make_store([IDS[i] for i in order], {name: rows[order] for name, rows in members.items()}),
    )
    np.testing.assert_array_equal(shuffled.embeddings, prediction.embeddings[order])


def test_members_stored_as_float16_are_blended_in_float64(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    spec = make_spec(["a"], weighted(1.0), PRIOR)
    prediction = predict_store(spec, make_store(IDS, {"a": embeddings(1)}, dtype="float16"))
    stored = embeddings(1).astype(np.float16).astype(np.float64)
    expected = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    np.testing.assert_allclose(prediction.embeddings, expected, atol=1e-7)


def test_members_the_spec_does_not_name_are_left_alone(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    store = make_store(IDS, {"spare": embeddings(9), "a": embeddings(1)})
    prediction = predict_store(make_spec(["a"], weighted(2.0), PRIOR), store)
    assert (prediction.members, prediction.missing_members) == (("a",), ())
    np.testing.assert_allclose(
        np.einsum("id,id->i", prediction.embeddings, embeddings(1)),
        np.linalg.norm(embeddings(1), axis=1),
        rtol=1e-6,
    )


def test_cancelled_rows_get_the_prior_and_are_counted(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    opposite = -embeddings(1)
    opposite[5:] = embeddings(2)[5:]
    store = make_store(IDS, {"a": embeddings(1), "b": opposite})
    prediction = predict_store(make_spec(["a", "b"], weighted(0.5, 0.5), PRIOR), store)
    assert (prediction.prior_rows, prediction.cancelled_rows) == (0, 5)
    np.testing.assert_allclose(prediction.embeddings[:5], np.tile(PRIOR, (5, 1)), atol=1e-7)


def test_a_spec_of_the_prior_alone_gives_it_to_every_row(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    spec = make_spec([], weighted(prior_weight=1.0), PRIOR)
    prediction = predict_store(spec, make_store(IDS, {"a": embeddings(1)}))
    assert prediction.prior_rows == len(IDS)
    np.testing.assert_allclose(prediction.embeddings, np.tile(PRIOR, (len(IDS), 1)), atol=1e-7)


def test_a_store_without_any_member_of_the_spec_is_refused_with_the_names_of_both(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    store = make_store(IDS, {"convnext-fold0": embeddings(1)})
    spec = make_spec(["convnext_fold0", "blip"], weighted(0.5, 0.5), PRIOR)
    names = "the spec wants convnext_fold0, blip; the store has convnext-fold0: add them with"
    with pytest.raises(SpecError, match=names):
        predict_store(spec, store)


def test_a_member_of_another_dimension_is_refused(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    store = make_store(IDS, {"a": embeddings(1)[:, :3]})
    with pytest.raises(SpecError, match="the spec blends 4 numbers per row, but member a has 3"):
        predict_store(make_spec(["a"], weighted(1.0), PRIOR), store)


def test_nan_in_a_stored_member_is_refused_with_member_and_ids(
    make_store: MakeStore, make_spec: MakeSpec
) -> None:
    store = make_store(IDS, {"a": embeddings(1)})
    file = store.path / "members" / "a" / "embeddings.npy"
    broken = np.load(file)
    broken[2, 1] = np.nan
    np.save(file, broken)
    with pytest.raises(StoreError, match=r"NaN or infinity in the rows of 384; add member 'a'"):
        predict_store(make_spec(["a"], weighted(1.0), PRIOR), Store.open(store.path))


def test_a_missing_member_has_the_weights_of_the_others_solved_again(
    make_store: MakeStore, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def resolve(**arguments: Any) -> NDArray[np.float64]:  # noqa: ANN401 - records them all
        asked.update(arguments)
        return np.array([0.0, 0.25, 0.0, 0.75])

    monkeypatch.setattr("ensembler.blending.resolve.resolve_weights", resolve)
    coreset = Coreset(
        rows=2,
        cosines=encode_vector(np.arange(12.0)),
        cross=encode_vector(np.arange(8.0)),
        lengths=encode_vector(np.ones(8)),
        weight=encode_vector(np.array([1.0, 3.0])),
    )
    members = {"a": embeddings(1), "c": embeddings(3)}
    spec = make_spec(
        ["a", "b", "c"], weighted(0.2, 0.7, 0.1, alpha=0.5, prior_weight=0.1), PRIOR, coreset
    )
    store = make_store(IDS, members)
    prediction = predict_store(spec, store)
    assert (prediction.members, prediction.missing_members) == (("a", "c"), ("b",))
    assert asked["cosines"].tolist() == np.arange(12.0).reshape(2, 6).tolist()
    assert asked["cross"].shape == asked["lengths"].shape == (2, 4)
    assert asked["weight"].tolist() == [1.0, 3.0]
    assert asked["alphas"].tolist() == [0.0, 0.5, 0.5, 0.5]
    assert asked["keep"].tolist() == [True, True, False, True]
    assert asked["free"] is False
    same = make_spec(["a", "c"], weighted(0.25, 0.75, alpha=0.5), PRIOR)
    np.testing.assert_array_equal(prediction.embeddings, predict_store(same, store).embeddings)


@pytest.mark.parametrize(("weight", "free"), [(0.3, False), (-0.3, True)])
def test_a_negative_weight_lets_the_new_weights_be_negative_too(
    make_store: MakeStore,
    make_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
    weight: float,
    free: bool,
) -> None:
    asked: dict[str, Any] = {}

    def resolve(**arguments: Any) -> NDArray[np.float64]:  # noqa: ANN401 - records them all
        asked.update(arguments)
        return np.array([0.0, 1.0, 0.0])

    monkeypatch.setattr("ensembler.blending.resolve.resolve_weights", resolve)
    spec = make_spec(["a", "b"], weighted(1.0, weight), PRIOR)
    predict_store(spec, make_store(IDS, {"a": embeddings(1)}))
    assert asked["free"] is free
    assert not asked["keep"][0]  # a prior of weight 0 stays out


@pytest.mark.parametrize("weights", ["fixed", "sampled"])
def test_weights_that_the_study_gave_are_kept_when_a_member_is_missing(
    make_spec: MakeSpec, weights: str
) -> None:
    spec = make_spec(["a", "b", "c"], weighted(0.2, 0.4, -0.1, prior_weight=0.1), PRIOR)
    provenance = spec.provenance.model_copy(update={"study": {"weights": weights}})
    blend = blend_without(spec.model_copy(update={"provenance": provenance}), ["b"])
    assert blend.prior.weight == pytest.approx(0.25)
    assert {m.name: m.weight for m in blend.members} == pytest.approx({"a": 0.5, "c": -0.25})


def test_the_last_member_left_is_blended_alone(make_store: MakeStore, make_spec: MakeSpec) -> None:
    store = make_store(IDS, {"a": embeddings(1)})
    both = make_spec(["a", "b"], weighted(0.1, 0.9), PRIOR)
    alone = make_spec(["a"], weighted(1.0), PRIOR)
    np.testing.assert_allclose(
        predict_store(both, store).embeddings, predict_store(alone, store).embeddings, atol=1e-7
    )


def test_a_prediction_becomes_a_submission(
    make_store: MakeStore, make_spec: MakeSpec, tmp_path: Path
) -> None:
    prediction = predict_store(
        make_spec(["a"], weighted(1.0), PRIOR), make_store(IDS, {"a": embeddings(1)})
    )
    prediction.to_submission(tmp_path / "submission.csv")
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert len(lines) == 1 + len(prediction) * DIM
    assert lines[1] == f"001_0,{prediction.embeddings[1, 0].astype(str)}"
