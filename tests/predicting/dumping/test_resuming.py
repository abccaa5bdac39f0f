"""An interrupted, killed or starved dump goes on, to the bytes of one that was left alone."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ensembler.dumping.dump import default_work, dump
from ensembler.errors import InputError, PredictorError, StoreError
from ensembler.store.create import create_store
from ensembler.store.reader import Member, Store

MakeStudio = Callable[..., Any]
KILLER = Path(__file__).parent / "kill_dumps.py"
ROOT = Path(__file__).parents[3]
STRIDE = 7  # of the killed operations; a batch has five, so that each kind is met


def assert_equal(found: Member, expected: Member) -> None:
    """The same bytes; only how long it took may differ."""
    assert (found.path / "rows.npy").read_bytes() == (expected.path / "rows.npy").read_bytes()
    vectors = [(member.path / "embeddings.npy").read_bytes() for member in (found, expected)]
    assert vectors[0] == vectors[1]
    if expected.record.captions:
        tables = [pq.read_table(member.path / "captions.parquet") for member in (found, expected)]
        assert tables[0].equals(tables[1])
    records = [member.record.model_dump(mode="json") for member in (found, expected)]
    for record in records:
        del record["name"], record["origin"]["seconds_per_image"]
    assert records[0] == records[1]


def interrupt_after(batches: int) -> Callable[[str, int, int], None]:
    left = [batches]

    def progress(stage: str, done: int, total: int) -> None:  # noqa: ARG001 - dump's own
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("batches", [1, 4, 7])
def test_an_interrupted_dump_goes_on_where_it_was(make_studio: MakeStudio, batches: int) -> None:
    studio = make_studio()
    definition, _ = studio.folded("colour_words")
    studio.image(5).write_bytes(b"no image")
    studio.dump("whole", definition)
    with pytest.raises(KeyboardInterrupt):
        studio.dump("words", definition, progress=interrupt_after(batches))
    done: list[int] = []
    report = studio.dump("words", definition, progress=lambda _, at, __: done.append(at))
    assert 0 < report.resumed < done[0]
    assert report.failures.keys() == {studio.ids[5]}
    assert_equal(studio.member("words"), studio.member("whole"))
    assert not default_work(studio.store, "words").exists()


def test_a_dump_interrupted_before_it_was_stored_embeds_nothing_again(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("whole", definition)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ensembler.dumping.dump.add_vectors", stop)
        with pytest.raises(KeyboardInterrupt):
            studio.dump("reds", definition)
    monkeypatch.setattr("ensembler.dumping.embedding.load_predictor", pytest.fail)
    assert studio.dump("reds", definition).resumed == 26
    assert_equal(studio.member("reds"), studio.member("whole"))


def test_a_dump_killed_at_any_write_ends_with_the_same_bytes(make_studio: MakeStudio) -> None:
    studio = make_studio([0, 1, 0, 0, 1])
    for seed, name in enumerate(("fold0.npy", "fold1.npy", "again.npy")):
        studio.weights(name, seed)
    folds = [(0, "fold0.npy"), (1, "fold1.npy"), (0, "again.npy")]
    definition = studio.define("colour_words", folds=folds)
    studio.image(2).write_bytes(b"no image")
    work = studio.folder / "work"
    for name in ("oof", "images", "models"):
        shutil.copytree(studio.folder / name, work / "base" / name)
    command = [sys.executable, str(KILLER), str(work), str(STRIDE)]
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(ROOT)])  # the plug-in's, and this project
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    studio.dump("words", definition, batch=3)
    copies = [path for path in work.iterdir() if path.name != "base"]
    assert len(copies) > 6  # enough operations were there to be killed at
    for copy in copies:
        assert_equal(Store.open(copy / "oof").member("words"), studio.member("words"))


@pytest.mark.parametrize("change", ["config", "weights", "release", "batch"])
def test_what_another_dump_has_left_is_not_taken_for_ones_own(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    with pytest.raises(KeyboardInterrupt):
        studio.dump("reds", definition, progress=interrupt_after(2))
    if change == "config":
        definition.write_text(definition.read_text().replace("[config]", "[config]\nsize = 8"))
    elif change == "weights":
        studio.weights("fold0.npy", 9)
    elif change == "release":
        monkeypatch.setattr("ensembler.dumping.job.code_versions", lambda _: {"colours": "1.1"})
    batch = 5 if change == "batch" else 4
    assert studio.dump("reds", definition, batch=batch).resumed == 0
    studio.dump("whole", definition, batch=batch)
    assert_equal(studio.member("reds"), studio.member("whole"))
    assert not default_work(studio.store, "reds").exists()


@pytest.mark.parametrize("change", ["size", "pixels"])
def test_of_what_is_embedded_only_a_changed_image_is_embedded_anew(
    make_studio: MakeStudio, change: str
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    with pytest.raises(KeyboardInterrupt):
        studio.dump("reds", definition, progress=interrupt_after(2))
    image = studio.image(3)  # in the first batch
    content = image.read_bytes()
    image.write_bytes(content + b"\0" if change == "size" else studio.image(4).read_bytes())
    assert studio.dump("reds", definition).resumed == 4
    studio.dump("whole", definition)
    assert_equal(studio.member("reds"), studio.member("whole"))


def test_a_work_folder_of_several_loses_only_what_was_stored(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    work = studio.folder / "work"
    for name in ("reds", "blues"):
        studio.weights("fold2.npy", len(name))
        with pytest.raises(KeyboardInterrupt):
            studio.dump(name, definition, work=work, progress=interrupt_after(3))
    assert studio.dump("blues", definition, work=work).resumed == 9
    studio.weights("fold2.npy", len("reds"))
    assert studio.dump("reds", definition, work=work).resumed == 9
    assert not work.exists()


def test_a_dump_that_was_refused_leaves_nothing_behind_and_its_correction_runs(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    sound = (studio.folder / "models/fold0.npy").read_bytes()
    (studio.folder / "models/fold0.npy").write_bytes(b"no matrix")
    with pytest.raises(PredictorError, match="cannot be loaded"):
        studio.dump("reds", definition)
    assert not default_work(studio.store, "reds").exists()
    (studio.folder / "models/fold0.npy").rename(studio.folder / "models/gone.npy")
    with pytest.raises(PredictorError, match="does not exist"):
        studio.dump("reds", definition)
    assert not default_work(studio.store, "reds").exists()
    (studio.folder / "models/fold0.npy").write_bytes(sound)
    assert studio.dump("reds", definition).resumed == 0


def test_two_runs_at_once_in_one_work_folder_are_refused(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()

    def meet(stage: str, done: int, total: int) -> None:  # noqa: ARG001 - dump's own
        with pytest.raises(InputError, match=r"another run is at work in .*--work"):
            studio.dump("reds", definition)

    studio.dump("reds", definition, progress=meet)
    assert studio.member("reds").record.rows == 26


def test_a_folder_that_holds_something_else_is_not_a_work_folder(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    with pytest.raises(InputError, match="which no run keeps in a work folder; name a folder of"):
        studio.dump("reds", definition, work=studio.images)
    assert len(list(studio.images.iterdir())) == 26


def test_a_full_disk_is_an_error_that_keeps_the_work(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("whole", definition)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    full: list[int] = []

    def fill(stage: str, done: int, total: int) -> None:  # noqa: ARG001 - dump's own
        if done >= 8 and not full:  # of the vectors' 520 bytes no more than 100 can be written to
            full.append(done)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))

    try:
        with pytest.raises(InputError, match=r"cannot be written \(File too .* make room there"):
            studio.dump("reds", definition, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert studio.dump("reds", definition).resumed == full[0]
    assert_equal(studio.member("reds"), studio.member("whole"))


def test_a_work_folder_that_cannot_be_made_is_told(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    (studio.folder / "file").write_text("")
    with pytest.raises(InputError, match=r"file/work cannot be written .*--work"):
        studio.dump("reds", definition, work=studio.folder / "file/work")


def test_a_read_only_store_is_told_before_the_work(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    # Root may write where no one else may.
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != studio.store)
    with pytest.raises(StoreError, match="copy it to a folder that can be, and dump into the copy"):
        studio.dump("reds", definition)
    assert not default_work(studio.store, "reds").exists()


def interrupted(studio: Any, definition: Path) -> Path:  # noqa: ANN401
    """Where the work is of a dump that was stopped after two batches of four and one of one."""
    with pytest.raises(KeyboardInterrupt):
        studio.dump("words", definition, progress=interrupt_after(3))
    (entry,) = default_work(studio.store, "words").glob("*/*/entry.json")
    return entry.parent


def test_work_that_cannot_be_read_is_begun_anew(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded("colour_words")
    place = interrupted(studio, definition) / "entry.json"
    place.write_bytes(b"[]\n" + place.read_bytes())
    assert studio.dump("words", definition).resumed == 0


def test_captions_that_were_damaged_are_told_with_the_remedy(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded("colour_words")
    notes = interrupted(studio, definition) / "notes.jsonl"
    notes.write_bytes(notes.read_bytes()[30:])
    with pytest.raises(InputError, match=r"has lost the captions of 4 images; delete it, and run"):
        studio.dump("words", definition)


def test_a_torn_last_note_costs_one_batch(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded("colour_words")
    studio.dump("whole", definition)
    entry = interrupted(studio, definition)
    notes, state = entry / "notes.jsonl", entry / "state.u8"
    notes.write_bytes(notes.read_bytes()[:-7])
    state.write_bytes(state.read_bytes()[:24] + bytes(2))  # what comes after a note in the write
    assert studio.dump("words", definition).resumed == 8  # of the 9 of fold 0
    assert_equal(studio.member("words"), studio.member("whole"))


def test_checkpoints_that_want_different_images_are_two_members(
    make_studio: MakeStudio,
) -> None:
    studio = make_studio([0, 1, 0, 1])
    studio.weights("a.npy", 0)
    np.save(studio.folder / "models/b.npy", np.ones((3, 7), np.float32))
    definition = studio.define("colours", folds=[(0, "a.npy"), (1, "b.npy")])
    bare = studio.folder / "bare"
    create_store(bare, studio.folder / "samples.csv")
    with pytest.raises(InputError, match="checkpoints of one member must agree"):
        dump(
            bare,
            "reds",
            predictor=definition,
            images=studio.images,
            failures=studio.folder / "failures.csv",
        )
