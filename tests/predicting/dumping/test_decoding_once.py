"""What a dump need not do twice: decode an image, or embed what its predictor knows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.images import stream as streaming
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Recalled

MakeStudio = Callable[..., Any]
Run = Callable[..., Any]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded, as often as they are."""
    names: list[str] = []
    load_image = streaming.load_image

    def counted(path: Path, preprocess: Preprocess) -> NDArray[np.uint8]:
        names.append(path.name)
        return load_image(path, preprocess)

    monkeypatch.setattr(streaming, "load_image", counted)
    return names


def two_of_fold_0(studio: Any) -> Path:  # noqa: ANN401
    for seed, name in enumerate("abc"):
        studio.weights(f"{name}.npy", seed)
    definition: Path = studio.define("colours", folds=[(0, "a.npy"), (1, "b.npy"), (0, "c.npy")])
    return definition


def test_checkpoints_of_one_fold_decode_its_images_once(
    make_studio: MakeStudio, decoded: list[str]
) -> None:
    studio = make_studio([0, 1, 0, 1, 0])
    report = studio.dump("reds", two_of_fold_0(studio))
    assert sorted(decoded) == sorted(path.name for path in studio.images.iterdir())
    assert report.cache_fault is None
    assert [path for path in studio.folder.iterdir() if path.name.startswith(".")] == []


def test_checkpoints_of_a_fold_each_keep_no_images(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensembler.dumping.embedding.ImageCache", pytest.fail)
    studio = make_studio()
    definition, _ = studio.folded()
    assert studio.dump("reds", definition).member.rows == 26


def test_a_cache_that_is_named_serves_the_next_dump_too(
    make_studio: MakeStudio, decoded: list[str], ensembler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = make_studio([0, 1, 0, 1, 0])
    definition = two_of_fold_0(studio)
    studio.dump("reds", definition)
    monkeypatch.chdir(studio.folder)
    given = ["--predictor", definition, "--images", studio.images, "--image-cache", "kept"]
    assert ensembler("dump", studio.store, "blues", *given).code == 0
    assert len(list((studio.folder / "kept").rglob("*.rgb"))) == 5
    decoded.clear()
    assert ensembler("dump", studio.store, "greens", *given).code == 0
    assert decoded == []
    for name in ("blues", "greens"):
        np.testing.assert_array_equal(
            studio.member(name).embeddings, studio.member("reds").embeddings
        )


def test_a_cache_that_takes_no_images_is_told_and_costs_nothing_but_time(
    make_studio: MakeStudio, ensembler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = make_studio([0, 1, 0])
    monkeypatch.chdir(studio.folder)
    (studio.folder / "file").touch()
    given = ["--predictor", two_of_fold_0(studio), "--images", studio.images]
    ran = ensembler("dump", studio.store, "reds", *given, "--image-cache", "file")
    assert (ran.code, ran.err) == (
        0,
        "Images were decoded more often than need be: file takes no more images: Not a directory\n",
    )
    studio.dump("plain", two_of_fold_0(studio))
    np.testing.assert_array_equal(
        studio.member("reds").embeddings, studio.member("plain").embeddings
    )


@pytest.fixture
def recalling(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """`recalling(ids)`: neighbour searches know the vectors of these samples, all sevens."""

    def teach(known: Sequence[str]) -> None:
        def recall(model: Any, ids: Sequence[str]) -> Recalled:  # noqa: ANN401
            there = np.isin(ids, known)
            return Recalled(there, np.full((there.sum(), model.dim), 7.0, np.float32))

        model = importlib.import_module("colours").NeighbourModel
        monkeypatch.setattr(model, "recall", recall, raising=False)

    return teach


def test_what_a_predictor_knows_is_not_embedded_but_for_a_first_batch(
    make_studio: MakeStudio, recalling: Callable[[Sequence[str]], None], decoded: list[str]
) -> None:
    studio = make_studio([0, 1] * 8)
    definition = studio.define("neighbours", 'references = "made.npz"')
    studio.dump("plain", definition)
    strange = [5, 13]
    recalling([name for row, name in enumerate(studio.ids) if row not in strange])
    decoded.clear()
    told: list[int] = []
    report = studio.dump("near", definition, progress=lambda _, done, __: told.append(done))
    first = [0, 2, 4, 6]  # of fold 0, four at a time
    assert sorted(decoded) == sorted(studio.image(row).name for row in [*first, *strange])
    assert told == [4, 8, 14, 16]
    expected = np.full((16, 5), 7.0, np.float32)
    expected[[*first, *strange]] = studio.member("plain").embeddings[[*first, *strange]]
    np.testing.assert_array_equal(studio.member("near").embeddings, expected)
    assert report.member.origin.seconds_per_image is not None
