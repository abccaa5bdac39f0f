"""Neighbours and their mean against loops in float64, and the promises of every predictor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.predicting.contract import FoldAware, Predictor, Recalling
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.retrieval.adapter import Retrieval, RetrievalConfig
from predictors.retrieval.references import References, load_references
from predictors.retrieval.search import NeighbourSearch

Images = NDArray[np.uint8]
Vectors = NDArray[np.floating]
Write = Callable[..., Path]
Noise = Callable[..., Images]

K = 4


class TestRetrieval(PredictorConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, tower: Path, write_references: Write, noise: Noise) -> Loadable:
        return Loadable(
            Retrieval,
            {"neighbours": K},
            {"features": tower, "reference": write_references(noise(12))},
            tensors={"reference": "targets"},
        )


def search(tower: Path, reference: Path, neighbours: int = K) -> NeighbourSearch:
    files = {"features": tower, "reference": reference}
    return Retrieval.load(RetrievalConfig(neighbours=neighbours), files, device="cpu")


def naive(
    features: Predictor, references: References, images: Images, rows: list[int]
) -> NDArray[np.float64]:
    """The mean targets of the K nearest of some references, one image after the other."""
    known = [references.features[row].astype(np.float64) for row in rows]
    centre = sum(known) / len(known)
    found = []
    for image in images:
        query = features.embed(image[None])[0].astype(np.float64)
        query = query / np.linalg.norm(query) - centre
        cosines = [
            float((one - centre) @ query / np.linalg.norm(one - centre) / np.linalg.norm(query))
            for one in known
        ]
        order = sorted(range(len(rows)), key=lambda place: -cosines[place])
        left_out = cosines[order[K]]
        weighted = [
            (cosines[place] - left_out) * references.targets[rows[place]].astype(np.float64)
            for place in order[:K]
        ]
        total = sum(cosines[place] - left_out for place in order[:K])
        found.append(sum(weighted) / total)
    return np.array(found)


@pytest.fixture(scope="module")
def reference(write_references: Write, noise: Noise) -> Path:
    return write_references(noise(20))


def test_the_mean_of_neighbours_is_that_of_a_loop_over_all_references(
    tower: Path, reference: Path, features: Predictor, noise: Noise
) -> None:
    images = 255 - noise(30)[20:]
    expected = naive(features, load_references(reference), images, list(range(20)))
    np.testing.assert_allclose(search(tower, reference).embed(images), expected, atol=2e-5)


@pytest.mark.parametrize("fold", [0, 2])
def test_without_a_fold_the_search_is_as_if_its_rows_had_never_been_there(
    tower: Path, reference: Path, features: Predictor, noise: Noise, fold: int
) -> None:
    images = noise(20)  # the references themselves
    whole = search(tower, reference)
    assert isinstance(whole, FoldAware)
    rows = [row for row in range(20) if row % 3 != fold]
    expected = naive(features, load_references(reference), images, rows)
    found = whole.without_fold(fold).embed(images)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(found - whole.embed(images)).max() > 0.1


@pytest.mark.parametrize("fold", [None, 0, 2])
def test_references_are_recalled_as_their_images_are_embedded(
    tower: Path, reference: Path, noise: Noise, fold: int | None
) -> None:
    """Their features are kept in half precision, hence the tolerance."""
    whole = search(tower, reference)
    searched = whole if fold is None else whole.without_fold(fold)
    assert isinstance(searched, Recalling)
    order = np.random.default_rng(0).permutation(20)
    recalled = searched.recall([f"r{row}" for row in order])
    assert recalled.known.all()
    assert recalled.vectors.dtype == np.float32
    np.testing.assert_allclose(recalled.vectors, searched.embed(noise(20))[order], atol=2e-3)


def test_what_is_not_among_the_references_is_not_recalled(tower: Path, reference: Path) -> None:
    whole = search(tower, reference)
    some, none = whole.recall(["r3", "stranger", "r0"]), whole.recall(["stranger"])
    assert some.known.tolist() == [True, False, True]
    np.testing.assert_array_equal(some.vectors, whole.recall(["r3", "r0"]).vectors)
    assert none.known.tolist() == [False]
    assert none.vectors.shape == (0, whole.dim)


def test_an_image_of_the_reference_set_draws_on_its_own_target_most(
    tower: Path, reference: Path, noise: Noise
) -> None:
    found = search(tower, reference, 1).embed(noise(20))
    np.testing.assert_allclose(found, load_references(reference).targets, atol=1e-5)


def test_a_neighbour_that_changes_places_at_the_end_moves_the_vector_by_nothing(
    tower: Path, reference: Path, noise: Noise
) -> None:
    """Between two images the nearest change several times; the vector never jumps."""
    ends = noise(40)[30:32].astype(np.float64)
    steps = np.linspace(0.0, 1.0, 256)[:, None, None, None]
    between = np.rint(ends[0] * (1 - steps) + ends[1] * steps).astype(np.uint8)
    found = search(tower, reference).embed(between)
    moved = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert np.linalg.norm(found[0] - found[-1]) > 0.2
    assert moved.max() < 0.1


def test_references_that_are_all_equally_near_count_alike_in_any_order(
    tower: Path, write_references: Write, noise: Noise
) -> None:
    images = np.concatenate([np.repeat(noise(1), 9, axis=0), noise(30)[20:]])
    targets = np.eye(19, dtype=np.float32)
    order = np.random.default_rng(1).permutation(19)
    for rows in (np.arange(19), order):
        made = write_references(images[rows], targets[rows])
        found = search(tower, made).embed(noise(1))[0]
        assert found[:9] == pytest.approx([1 / 9] * 9)
        assert not found[9:].any()


@pytest.mark.parametrize("fold", [None, 1])
def test_more_neighbours_than_references_are_refused(
    tower: Path, reference: Path, fold: int | None
) -> None:
    if fold is None:
        with pytest.raises(PredictorError, match="neighbours = 20 needs 21 references"):
            search(tower, reference, 20)
    else:
        whole = search(tower, reference, 15)
        with pytest.raises(PredictorError, match=r"neighbours = 15 needs 16 .* offers 13"):
            whole.without_fold(fold)


def test_a_vector_that_is_not_a_number_stays_one(
    tower: Path, reference: Path, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a run in half precision sees that it overflowed, and does it again."""
    whole = search(tower, reference)
    spoilt = whole._features.embed(noise(2))
    spoilt[1] = np.nan
    monkeypatch.setattr(whole._features, "embed", lambda _: spoilt)
    found = whole.embed(noise(2))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
