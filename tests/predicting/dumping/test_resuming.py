"""An interrupted, killed or starved dump goes on, to the bytes of one that was left alone."""

from __future__ import annotations

import os
import re
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
from ensembler.errors import InputError, PredictorError
from ensembler.store.create import create_store
from ensembler.store.reader import Member, Store

MakeStudio = Callable[..., Any]
KILLER = Path(__file__).parent / "kill_dumps.py"
ROOT = Path(__file__).parents[3]
STRIDE = 7  # of the killed operations; a batch has six, so that each kind is met


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


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ("config", "config"),
        ("weights", "checkpoints"),
        ("images", "images"),
        ("pixels", "images"),
        ("release", "code"),
        ("batch", "batch"),
    ],
)
def test_another_dump_in_the_work_folder_is_refused_with_both_digests(
    make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch, change: str, differs: str
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    with pytest.raises(KeyboardInterrupt):
        studio.dump("reds", definition, progress=interrupt_after(2))
    if change == "config":
        definition.write_text(definition.read_text().replace("[config]", "[config]\nsize = 8"))
    elif change == "weights":
        studio.weights("fold2.npy", 9)
    elif change == "images":
        studio.image(25).write_bytes(studio.image(25).read_bytes() + b"\0")
    elif change == "pixels":  # of the same size
        content = bytearray(studio.image(25).read_bytes())
        content[-20] ^= 1
        studio.image(25).write_bytes(content)
    elif change == "release":
        monkeypatch.setattr("ensembler.dumping.job.code_versions", lambda _: {"colours": "1.1"})
    batch = 5 if change == "batch" else 4
    with pytest.raises(InputError) as refused:
        studio.dump("reds", definition, batch=batch)
    told = str(refused.value)
    assert str(default_work(studio.store, "reds")) in told
    assert len(set(re.findall(r"[0-9a-f]{64}", told))) == 2
    assert f"they differ in {differs};" in told
    elsewhere = studio.folder / "elsewhere"
    assert studio.dump("reds", definition, batch=batch, work=elsewhere).resumed == 0


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


def test_a_key_without_a_finished_batch_is_replaced(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    work = default_work(studio.store, "reds")
    work.mkdir()
    (work / "key.json").write_text('{"adapter":"another"}\n')
    studio.dump("reds", definition)
    assert studio.member("reds").record.rows == 26
    assert not work.exists()


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
    with pytest.raises(InputError, match="holds something, but no dump's work"):
        studio.dump("reds", definition, work=studio.images)
    assert len(list(studio.images.iterdir())) == 26


def test_a_full_disk_is_an_error_that_keeps_the_work(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("whole", definition)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    full: list[int] = []

    def fill(stage: str, done: int, total: int) -> None:  # noqa: ARG001 - dump's own
        if done >= 8 and not full:  # no file may grow beyond what it is by now
            full.append(done)
            size = (default_work(studio.store, "reds") / "batches").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, before[1]))

    try:
        with pytest.raises(InputError, match=r"vectors cannot be written: .* free space and run"):
            studio.dump("reds", definition, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert studio.dump("reds", definition).resumed == full[0]
    assert_equal(studio.member("reds"), studio.member("whole"))


def test_a_work_folder_that_cannot_be_made_is_told(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    (studio.folder / "file").write_text("")
    with pytest.raises(InputError, match=r"file/work cannot be a work folder: .*--work"):
        studio.dump("reds", definition, work=studio.folder / "file/work")


@pytest.mark.parametrize("name", ["key.json", "batches"])
def test_damaged_work_is_told_with_the_remedy(make_studio: MakeStudio, name: str) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    with pytest.raises(KeyboardInterrupt):
        studio.dump("reds", definition, progress=interrupt_after(3))
    file = default_work(studio.store, "reds") / name
    file.write_bytes(b"[]\n" + file.read_bytes())
    with pytest.raises(InputError, match=r"delete .*\.reds\.dump to begin anew"):
        studio.dump("reds", definition)


def test_a_torn_last_line_costs_one_batch(make_studio: MakeStudio) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    studio.dump("whole", definition)
    with pytest.raises(KeyboardInterrupt):
        studio.dump("reds", definition, progress=interrupt_after(3))
    record = default_work(studio.store, "reds") / "batches"
    record.write_bytes(record.read_bytes()[:-7])
    assert studio.dump("reds", definition).resumed == 8  # of the 9 of fold 0, in batches of 4
    assert_equal(studio.member("reds"), studio.member("whole"))


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
