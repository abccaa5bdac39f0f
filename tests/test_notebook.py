"""What a notebook has in memory becomes a store, and what comes back is small to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import ensembler as en
from ensembler.metrics import unit_rows

ROWS, DIM = 40, 8
IDS = [f"image {n}" for n in range(ROWS)]
RNG = np.random.default_rng(0)
TARGETS = unit_rows(RNG.normal(size=(ROWS, DIM)))
VECTORS = TARGETS + RNG.normal(scale=0.4, size=(ROWS, DIM))


@pytest.fixture
def store(tmp_path: Path) -> en.Store:
    samples = {"id": IDS, "group": [f"g{n // 2}" for n in range(ROWS)]}
    return en.create_store(tmp_path / "mine", samples, targets=TARGETS, folds=4)


def test_arrays_become_a_store(store: en.Store) -> None:
    np.testing.assert_allclose(store.targets(), TARGETS, atol=1e-7)
    assert store.samples.id.tolist() == IDS
    assert set(store.samples.fold) == {0, 1, 2, 3}


def test_a_members_rows_go_where_their_ids_say(store: en.Store) -> None:
    order = np.random.default_rng(1).permutation(ROWS)[:30]
    report = en.add_member(store, "blip", VECTORS[order], ids=[IDS[n] for n in order])
    member = en.Store.open(store.path).member("blip")
    assert (report.member.rows, report.samples, report.unknown_dropped) == (30, ROWS, 0)
    np.testing.assert_array_equal(member.rows, np.sort(order))
    np.testing.assert_array_equal(member.embeddings, VECTORS[np.sort(order)].astype(np.float32))


def test_files_go_through_the_same_door(store: en.Store, tmp_path: Path) -> None:
    np.savez(tmp_path / "blip.npz", embeddings=VECTORS, ids=np.array(IDS))
    en.add_member(store.path, "file", tmp_path / "blip.npz", seconds_per_image=0.5)
    np.save(tmp_path / "bare.npy", VECTORS)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    en.add_member(store.path, "bare", [tmp_path / "bare.npy"], ids=tmp_path / "ids.txt")
    opened = en.Store.open(store.path)
    assert opened.member("file").record.origin.seconds_per_image == 0.5
    np.testing.assert_array_equal(
        opened.member("file").embeddings, opened.member("bare").embeddings
    )


def test_tables_of_whole_numbers_as_ids_and_files_alike(tmp_path: Path) -> None:
    columns = {"id": list(range(ROWS)), "source": ["a"] * ROWS}
    made = en.create_store(tmp_path / "dict", columns, targets=TARGETS)
    table = en.create_store(tmp_path / "table", pa.table(columns), targets=TARGETS)
    np.save(tmp_path / "targets.npy", TARGETS)
    (tmp_path / "samples.csv").write_text("id,source\n" + "".join(f"{n},a\n" for n in range(ROWS)))
    file = en.create_store(
        tmp_path / "file", tmp_path / "samples.csv", targets=tmp_path / "targets.npy"
    )
    assert made.manifest == table.manifest == file.manifest
    report = en.add_member(made, "blip", VECTORS, ids=np.arange(ROWS))
    assert report.coverage == 1.0


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ((), "an array needs ids"),
        (IDS[:-1], "39 ids for embeddings of shape"),
        (np.arange(ROWS) / 2, "ids are float64"),
        ([*IDS[:-1], "image x"], "image x"),
        ([*IDS[:-1], IDS[0]], "same id"),
    ],
)
def test_ids_that_do_not_fit_the_array_are_refused(
    store: en.Store, ids: Sequence[Any], sentence: str
) -> None:
    with pytest.raises(en.StoreError, match=sentence) as refused:
        en.add_member(store, "blip", VECTORS, ids=ids)
    assert "member blip" in str(refused.value)
    assert en.Store.open(store.path).names == ()


def test_frames_and_tensors_are_arrays_too(store: en.Store) -> None:
    frame = pd.DataFrame(VECTORS, index=IDS)
    en.add_member(store, "frame", frame, ids=frame.index)
    en.add_member(store, "series", VECTORS, ids=pd.Series(IDS, dtype=object))
    en.add_member(store, "tensor", torch.from_numpy(VECTORS.astype(np.float16)), ids=IDS)
    opened = en.Store.open(store.path)
    whole, half = opened.member("frame").embeddings, opened.member("tensor").embeddings
    np.testing.assert_array_equal(whole, VECTORS.astype(np.float32))
    np.testing.assert_array_equal(opened.member("series").embeddings, whole)
    np.testing.assert_allclose(half, whole, rtol=1e-3, atol=1e-4)


def test_a_data_frame_is_a_table_of_samples_without_its_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": IDS, "artist": ["a", "b"] * (ROWS // 2)})
    kept = frame[frame.artist == "b"]
    made = en.create_store(tmp_path / "frame", kept, targets=TARGETS[1::2])
    assert made.samples.id.tolist() == IDS[1::2]
    assert list(made.samples.further) == ["artist"]
    named = en.create_store(tmp_path / "named", kept.set_index("id"), targets=TARGETS[1::2])
    assert named.manifest == made.manifest
    with pytest.raises(en.InputError, match="deal at least 2"):
        en.create_store(tmp_path / "one", kept, targets=TARGETS[1::2], folds=1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "float64"}, "'float64' is not stored"),
        ({"seconds_per_image": -1.0}, "seconds per image: give a positive number"),
        ({"encoder": "minilm"}, "an encoder is for captions"),
    ],
)
def test_options_that_do_not_fit_an_array_are_refused(
    store: en.Store, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(en.StoreError, match=sentence):
        en.add_member(store, "blip", VECTORS, ids=IDS, **options)
    with pytest.raises(en.StoreError, match="is not a file's name"):
        en.add_member(store, "blip", [[1.0, 2.0]], ids=IDS)  # type: ignore[list-item]
    assert en.Store.open(store.path).names == ()


def test_arrays_that_are_no_embeddings_are_refused_by_name(store: en.Store, tmp_path: Path) -> None:
    with pytest.raises(en.StoreError, match="member blip: embeddings are of type int64"):
        en.add_member(store, "blip", np.ones((ROWS, DIM), dtype=np.int64), ids=IDS)
    spoilt = np.where(np.arange(ROWS)[:, None] == 3, np.nan, VECTORS)
    for hidden in (spoilt, np.ma.masked_invalid(spoilt)):
        with pytest.raises(en.StoreError, match="'image 3'"):
            en.add_member(store, "blip", hidden, ids=IDS)
    with pytest.raises(en.StoreError, match="targets has 39 rows for 40 samples"):
        en.create_store(tmp_path / "short", {"id": IDS}, targets=TARGETS[1:])
    with pytest.raises(en.StoreError, match=r"^samples: the id 'a' comes more than once"):
        en.create_store(tmp_path / "twice", {"id": ["a", "a"]})
    with pytest.raises(en.StoreError, match="samples: no table can be made"):
        en.create_store(tmp_path / "odd", {"id": ["a", "b"], "prompt": ["one"]})


def test_a_study_and_members_may_be_written_in_place(store: en.Store, tmp_path: Path) -> None:
    for name, seed in (("blip", 1), ("clip", 2), ("clip_2", 3)):
        noise = np.random.default_rng(seed).normal(scale=0.5, size=(ROWS, DIM))
        en.add_member(store, name, TARGETS + noise, ids=IDS)
    evaluated = en.evaluate(store.path, blenders="uniform", members="all", rows=0)
    assert list(evaluated.evaluation.comparison.blends) == ["uniform"]
    quick = en.StudyDefinition(trials=4, validation="none")
    result = en.fit(store.path, study=quick, members="clip*, blip")
    assert {m.name for m in result.spec.weighted.members} == {"blip", "clip", "clip_2"}
    result.spec.save(tmp_path / "ensemble.json")
    assert en.load_spec(tmp_path / "ensemble.json") == result.spec


def test_what_a_notebook_shows_is_a_line(store: en.Store) -> None:
    en.add_member(store, "blip", VECTORS, ids=IDS)
    opened = en.Store.open(store.path)
    assert repr(opened) == f"Store({str(store.path)!r}, 40 samples, 1 members)"
    assert repr(opened.samples) == "Samples(40 rows in 20 groups)"
    assert repr(opened.member("blip")) == "Member('blip', 40 rows × 8, float32)"
    study = en.StudyDefinition(trials=2, validation="none")
    spec = en.fit(opened, study=study).spec
    assert repr(en.predict(spec, opened)) == (
        "Prediction(40 rows × 8, members=1, missing=0, prior_rows=0)"
    )
    evaluated = en.evaluate(opened, blenders=["uniform", "weighted"], study=study)
    assert repr(evaluated).startswith("EvaluationResult(2 blends, best=")
