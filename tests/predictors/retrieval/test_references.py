"""Reference sets: learned from a store, read back, and refused where they would mislead."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.errors import PredictorError, StoreError
from ensembler.predicting.checkpoints import checkpoint_digests
from ensembler.predicting.contract import Learner, Predictor
from ensembler.predicting.definition import PredictorDefinition
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from predictors.retrieval import learning
from predictors.retrieval.adapter import Retrieval, RetrievalConfig
from predictors.retrieval.features import features_digest
from predictors.retrieval.references import load_references, save_references

Write = Callable[..., Path]
Noise = Callable[..., NDArray[np.uint8]]
Progress = Callable[[int, int], None]

IDS = ["92e911621", "1e5", "007", "b", "a", "zebra"]
GROUPS = ["twin", "twin", "g", "h", "i", "j"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six samples, two of them twins, each with its own target."""
    np.save(tmp_path / "targets.npy", np.eye(6, dtype=np.float32))
    rows = [f"{id_},{group}" for id_, group in zip(IDS, GROUPS, strict=True)]
    (tmp_path / "samples.csv").write_text("id,group\n" + "\n".join(rows) + "\n")
    return create_store(
        tmp_path / "oof", tmp_path / "samples.csv", targets=tmp_path / "targets.npy", folds=3
    )


@pytest.fixture
def images(tmp_path: Path, noise: Noise) -> dict[str, Path]:
    """An image for each sample; that of 007 is broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = dict(zip(IDS, noise(6), strict=True))
    for id_ in IDS:
        Image.fromarray(pixels[id_]).save(folder / f"{id_}.png")
    (folder / "007.png").write_text("no image")
    return {id_: folder / f"{id_}.png" for id_ in sorted(IDS)}


def copy_of(tower: Path, folder: Path) -> Path:
    """The tower's definition, copied with all beside it."""
    shutil.copytree(tower.parent, folder / "tower")
    return folder / "tower" / tower.name


def never(done: int, total: int) -> None:
    """A report of progress that must not come."""
    pytest.fail(f"embedded {done} of {total}")


def learn(
    tower: Path,
    folder: Path,
    store: Store,
    images: dict[str, Path],
    place: str = "sets/six.safetensors",
    progress: Progress | None = None,
) -> dict[str, str]:
    assert isinstance(Retrieval, Learner)
    (folder / "sets").mkdir(exist_ok=True)
    return Retrieval.learn(
        RetrievalConfig(),
        {"features": tower, "reference": folder / place},
        store=store,
        images=images,
        device="cpu",
        out_dir=folder,
        progress=progress,
    )


def test_references_are_the_stores_samples_with_their_targets_and_folds(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path], features: Predictor
) -> None:
    told: list[tuple[int, int]] = []
    made = learn(tower, tmp_path, store, images, progress=lambda *done: told.append(done))
    assert made == {"reference": "sets/six.safetensors"}
    found = load_references(tmp_path / made["reference"])
    rows = [row for row, id_ in enumerate(IDS) if id_ != "007"]
    assert found.ids.tolist() == [IDS[row] for row in rows]
    assert found.fold.tolist() == store.samples.fold[rows].tolist()
    np.testing.assert_array_equal(found.targets, np.eye(6)[rows])
    for id_, feature in zip(found.ids.tolist(), found.features, strict=True):
        pixels = np.asarray(Image.open(images[id_]))
        vector = features.embed(pixels[None])[0]
        np.testing.assert_allclose(feature, vector / np.linalg.norm(vector), atol=1e-3)
    assert told == [(6, 6)]


def test_the_same_store_and_images_make_the_same_bytes(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made = learn(tower, tmp_path / name, store, images)
        contents.append((tmp_path / name / made["reference"]).read_bytes())
    assert contents[0] == contents[1]


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images go in by twos, so that six make three batches."""
    monkeypatch.setattr(learning, "BATCH", 2)


@pytest.mark.usefixtures("pairs")
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_an_interrupted_reference_set_goes_on_to_the_same_bytes(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path], batches: int
) -> None:
    def interrupted(done: int, _: int) -> None:
        if done == 2 * batches:
            raise KeyboardInterrupt

    whole = tmp_path / "whole"
    whole.mkdir()
    expected = whole / learn(tower, whole, store, images)["reference"]
    with pytest.raises(KeyboardInterrupt):
        learn(tower, tmp_path, store, images, progress=interrupted)
    assert not (tmp_path / "sets" / "six.safetensors").exists()
    told: list[int] = []
    made = learn(tower, tmp_path, store, images, progress=lambda done, _: told.append(done))
    assert told == list(range(2 * batches + 2, 7, 2))
    assert (tmp_path / made["reference"]).read_bytes() == expected.read_bytes()
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["six.safetensors"]


@pytest.mark.usefixtures("pairs")
def test_an_image_that_changed_since_the_interruption_is_embedded_again(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path], noise: Noise
) -> None:
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(tower, tmp_path, store, images, progress=interrupted)
    Image.fromarray(noise(9)[8]).save(images["1e5"])  # of the first batch
    found = load_references(tmp_path / learn(tower, tmp_path, store, images)["reference"])
    (tmp_path / "anew").mkdir()
    anew = load_references(
        tmp_path / "anew" / learn(tower, tmp_path / "anew", store, images)["reference"]
    )
    np.testing.assert_array_equal(found.features, anew.features)
    np.testing.assert_array_equal(found.image_sha256, anew.image_sha256)


def test_two_runs_that_make_one_reference_set_at_once_are_refused(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    def meet(*_: int) -> None:
        with pytest.raises(PredictorError, match=r"six\.safetensors\.work is another run's: wait"):
            learn(tower, tmp_path, store, images)

    assert learn(tower, tmp_path, store, images, progress=meet)


def test_a_full_disk_is_told_with_the_set_and_keeps_what_was_embedded(
    tower: Path,
    tmp_path: Path,
    store: Store,
    images: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("ensembler.work.entry.write_all", full)
        with pytest.raises(PredictorError, match=r"six\.safetensors cannot be made: .*No space"):
            learn(tower, tmp_path, store, images)
    assert learn(tower, tmp_path, store, images)


def test_without_a_fold_neither_a_row_nor_its_twin_is_among_the_references(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    made = learn(tower, tmp_path, store, images)
    found = load_references(tmp_path / made["reference"])
    fold = store.samples.fold[0]
    assert not {"92e911621", "1e5"} & set(found.without_fold(int(fold)).ids.tolist())


def test_a_reference_set_that_exists_is_kept(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    place = tmp_path / learn(tower, tmp_path, store, images)["reference"]
    before = place.stat().st_mtime_ns
    assert learn(tower, tmp_path, store, images) == {"reference": "sets/six.safetensors"}
    assert place.stat().st_mtime_ns == before


def test_a_reference_set_of_other_folds_is_refused_because_targets_would_leak(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    found = load_references(tmp_path / learn(tower, tmp_path, store, images)["reference"])
    save_references(replace(found, fold=(found.fold + 1) % 3))
    with pytest.raises(PredictorError, match=r"5 of the store's samples in other folds: 92e911621"):
        learn(tower, tmp_path, store, images)


def test_references_of_another_store_serve_whatever_their_folds(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    found = load_references(tmp_path / learn(tower, tmp_path, store, images)["reference"])
    foreign = np.array([f"other-{id_}" for id_ in found.ids])
    save_references(replace(found, ids=foreign, fold=(found.fold + 1) % 3))
    assert learn(tower, tmp_path, store, images)


def test_a_reference_set_of_other_targets_is_refused_naming_whose(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    found = load_references(tmp_path / learn(tower, tmp_path, store, images)["reference"])
    targets = found.targets.copy()
    targets[[0, 3]] = targets[[3, 0]]
    save_references(replace(found, targets=targets))
    match = r"2 of the store's samples with other targets: 92e911621, a\. Remove the file"
    with pytest.raises(PredictorError, match=match):
        learn(tower, tmp_path, store, images)
    save_references(replace(found, targets=np.ones((5, 7), np.float32)))
    with pytest.raises(PredictorError, match="5 of the store's samples with other targets"):
        learn(tower, tmp_path, store, images)


def test_a_reference_set_of_images_with_other_pixels_is_refused_naming_which(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path], noise: Noise
) -> None:
    learn(tower, tmp_path, store, images)
    Image.fromarray(noise(9)[8]).save(images["zebra"])
    with pytest.raises(PredictorError, match="1 features of images that have changed since: zebra"):
        learn(tower, tmp_path, store, images)


def test_the_same_images_in_another_folder_are_the_same(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    learn(tower, tmp_path, store, images)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for id_, path in images.items():
        (elsewhere / f"{id_}.png").write_bytes(path.read_bytes())
    assert learn(tower, tmp_path, store, {id_: elsewhere / f"{id_}.png" for id_ in images})


@pytest.mark.parametrize(
    ("place", "fault"),
    [("sets/six.npz", r"name it six\.safetensors"), ("none/six.safetensors", "there is no folder")],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_embedded(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path], place: str, fault: str
) -> None:
    with pytest.raises(PredictorError, match=fault):
        learn(tower, tmp_path, store, images, place=place, progress=never)


def test_a_reference_set_named_for_a_fold_is_refused(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    with pytest.raises(PredictorError, match=r"reference must be named under \[files\]"):
        Retrieval.learn(
            RetrievalConfig(),
            {"features": tower},
            store=store,
            images=images,
            device="cpu",
            out_dir=tmp_path,
        )


def test_a_file_beside_the_features_changes_nothing(
    tower: Path, tmp_path: Path, write_references: Write, noise: Noise
) -> None:
    copied = copy_of(tower, tmp_path)
    shutil.copy(write_references(noise(6)), tmp_path / "six.safetensors")
    files = {"features": "tower/predictor.toml", "reference": "six.safetensors"}
    definition = PredictorDefinition(adapter="retrieval", files=files)
    before = features_digest(copied), checkpoint_digests(definition, tmp_path)
    (copied.parent / "notes.txt").write_text("trained in spring")
    assert (features_digest(copied), checkpoint_digests(definition, tmp_path)) == before


def test_other_weights_under_the_same_definition_are_refused(
    tower: Path, tmp_path: Path, write_references: Write, noise: Noise
) -> None:
    """A spec has the definition's digest and the references'; these have that of the weights."""
    copied, reference = copy_of(tower, tmp_path), write_references(noise(6))
    from safetensors.numpy import load_file, save_file

    weights = copied.with_name("tower.safetensors")
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(PredictorError, match=r"features of the digest.*give those"):
        Retrieval.load(
            RetrievalConfig(neighbours=1),
            {"features": copied, "reference": reference},
            device="cpu",
        )


def test_a_folder_instead_of_the_features_definition_is_answered_with_what_to_name(
    tower: Path,
) -> None:
    with pytest.raises(PredictorError, match=r"tower is a folder: .* as in tower/predictor\.toml"):
        Retrieval.load(RetrievalConfig(), {"features": tower.parent}, device="cpu")


def test_a_reference_set_without_the_digests_of_its_images_is_to_be_made_again(
    tmp_path: Path,
) -> None:
    from safetensors.numpy import save_file

    save_file({"features": np.ones((2, 3), np.float16)}, tmp_path / "old.safetensors")
    with pytest.raises(
        PredictorError, match=r"not a reference set of this version: .*image_sha256"
    ):
        load_references(tmp_path / "old.safetensors")


def test_a_store_without_targets_is_refused_before_anything_is_embedded(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    bare = create_store(tmp_path / "bare", tmp_path / "samples.csv")
    with pytest.raises(StoreError, match="has no targets"):
        learn(tower, tmp_path, bare, images, progress=never)
    assert store.names == ()


def test_a_store_of_broken_images_makes_no_reference_set(
    tower: Path, tmp_path: Path, store: Store, images: dict[str, Path]
) -> None:
    with pytest.raises(PredictorError, match="not a single image could be read"):
        learn(tower, tmp_path, store, {"007": images["007"]})
    assert not list((tmp_path / "sets").iterdir())


def test_features_of_another_model_are_refused(
    tower: Path, tmp_path: Path, write_references: Write, noise: Noise
) -> None:
    found = load_references(write_references(noise(6)))
    save_references(replace(found, path=tmp_path / "r.safetensors", features_sha256="0" * 64))
    with pytest.raises(PredictorError, match=r"r\.safetensors was made with features of the dig"):
        Retrieval.load(
            RetrievalConfig(neighbours=1),
            {"features": tower, "reference": tmp_path / "r.safetensors"},
            device="cpu",
        )


def test_features_of_several_folds_models_are_refused(tower: Path, tmp_path: Path) -> None:
    copied = copy_of(tower, tmp_path)
    definition = copied.read_text().partition("[files]")[0]
    checkpoint = '[[checkpoints]]\nfold = 0\nweights = "tower.safetensors"\n'
    copied.write_text(definition + checkpoint)
    with pytest.raises(PredictorError, match="features of different models cannot be compared"):
        Retrieval.load(RetrievalConfig(), {"features": copied}, device="cpu")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ({"ids": np.array(["a"])}, "has 1 ids for another number of rows"),
        ({"fold": np.zeros(2, np.int64)}, r"features is float16\(6, .*beside 2 folds"),
        ({"targets": np.zeros((6, 2))}, r"targets is float64\(6, 2\)"),
        ({"features": np.zeros(6, np.float16)}, r"features is float16\(6,\)"),
    ],
)
def test_a_reference_set_whose_parts_disagree_is_refused(
    write_references: Write, noise: Noise, damage: dict[str, NDArray[np.generic]], fault: str
) -> None:
    found = load_references(write_references(noise(6)))
    save_references(replace(found, **damage))  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(PredictorError, match=fault):
        load_references(found.path)


def test_tensors_without_the_names_of_their_rows_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "bare.safetensors"
    arrays = {
        "features": np.ones((2, 3), np.float16),
        "targets": np.ones((2, 4), np.float32),
        "fold": np.zeros(2, np.int64),
        "image_sha256": np.zeros((2, 32), np.uint8),
    }
    save_file(arrays, path)
    with pytest.raises(PredictorError, match="does not say whose rows it holds"):
        load_references(path)


def test_a_reference_set_under_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"name it reference\.safetensors"):
        load_references(tmp_path / "reference.npz")
