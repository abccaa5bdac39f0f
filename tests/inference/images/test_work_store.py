"""The work store: what a kill, a full disk or another batch size leaves of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembler.errors import InputError
from ensembler.inference.messages import Embed, Load, Message, Setup, Stopped
from ensembler.inference.worker import Worker
from ensembler.work.disk import WorkError, work_errors
from ensembler.work.entry import EMBEDDED, NOT_FINITE, PENDING, UNREADABLE, Entry
from ensembler.work.notes import Note
from ensembler.work.store import open_work

IMAGES = [f"{name}.png 7 8" for name in "abcdefghij"]
VECTORS = np.arange(1, 31, dtype=np.float32).reshape(10, 3)


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """Ten images, three numbers each."""
    with open_work(tmp_path / "work") as store:
        return store.entry({"predictor": "x"}, IMAGES, 3)


def rows(*positions: int) -> np.ndarray:
    return np.array(positions, dtype=np.int64)


def unread(*positions: int) -> Note:
    return Note(unreadable=dict.fromkeys(positions, "is empty"))


def test_what_is_written_is_read_and_the_rest_is_pending(entry: Entry) -> None:
    entry.write(rows(7, 2), VECTORS[[7, 2]], note=unread(3))
    assert entry.state().tolist() == [
        *(PENDING, PENDING, EMBEDDED, UNREADABLE, PENDING, PENDING, PENDING, EMBEDDED),
        *(PENDING, PENDING),
    ]
    np.testing.assert_array_equal(entry.vectors[[7, 2]], VECTORS[[7, 2]])
    assert not entry.vectors[[0, 3]].any()
    assert not entry.is_whole()


@pytest.mark.parametrize(
    ("batch", "pending"),
    [(1, [5, 6, 8, 9]), (4, [4, 5, 6, 7, 8, 9]), (5, [5, 6, 7, 8, 9]), (99, list(range(10)))],
)
def test_a_batch_that_was_cut_short_is_pending_as_a_whole(
    entry: Entry, batch: int, pending: list[int]
) -> None:
    entry.write(rows(0, 1, 2, 3, 4, 7), VECTORS[[0, 1, 2, 3, 4, 7]])
    assert entry.pending(batch).tolist() == pending


def test_what_failed_for_a_reason_that_has_gone_is_pending_again(entry: Entry) -> None:
    entry.write(rows(0), VECTORS[:1], not_finite=[5], note=unread(2, 3))
    entry.try_again(lambda position: position == 3)
    assert entry.state()[[0, 2, 3, 5]].tolist() == [EMBEDDED, UNREADABLE, PENDING, NOT_FINITE]


def test_an_entry_without_a_single_vector_is_begun_again(entry: Entry) -> None:
    entry.write(rows(), VECTORS[:0], not_finite=[5, 6], note=unread(2))
    entry.try_again(lambda _: False)
    assert entry.state()[[2, 5, 6]].tolist() == [UNREADABLE, PENDING, PENDING]


def test_weights_are_broken_once_enough_images_have_no_finite_vector(tmp_path: Path) -> None:
    with open_work(tmp_path / "work") as store:
        entry = store.entry({"predictor": "x"}, [str(n) for n in range(50)], 3)
    entry.write(rows(), VECTORS[:0], not_finite=range(31), note=unread(40, 41))
    assert not entry.is_barren()
    entry.write(rows(), VECTORS[:0], not_finite=[31])
    assert entry.is_barren()
    entry.write(rows(49), VECTORS[:1])
    assert not entry.is_barren()


def test_an_entry_outlives_its_run_with_its_batch_size(tmp_path: Path) -> None:
    for run in range(2):
        with open_work(tmp_path / "work") as store:
            entry = store.entry({"predictor": "x"}, IMAGES, 3)
            assert entry.recorded("batch") == (None if run == 0 else 64)
            assert entry.is_whole() == bool(run)
            entry.record(batch=64)
            entry.write(rows(*range(10)), VECTORS)
            other = store.entry({"predictor": "y"}, IMAGES, 3)
            assert not other.is_whole()


def test_a_list_that_shares_images_with_another_begins_with_their_rows(tmp_path: Path) -> None:
    with open_work(tmp_path / "work") as store:
        entry = store.entry({"predictor": "x"}, IMAGES, 3)
        entry.write(rows(0, 2, 3, 9), VECTORS[[0, 2, 3, 9]], not_finite=[6], note=unread(5))
        changed = ["new.png 1 1", *IMAGES[5:], "d.png 7 9", *IMAGES[:3]]
        other = store.entry({"predictor": "x"}, changed, 3)
        assert {changed[p] for p in np.flatnonzero(other.state() == EMBEDDED)} == {
            *(IMAGES[0], IMAGES[2], IMAGES[9])
        }
        assert {changed[p] for p in np.flatnonzero(other.state() == UNREADABLE)} == {IMAGES[5]}
        assert {changed[p] for p in np.flatnonzero(other.state() == NOT_FINITE)} == {IMAGES[6]}
        np.testing.assert_array_equal(other.vectors[[7, 9, 5]], VECTORS[[0, 2, 9]])
        assert not other.vectors[[0, 1, 2, 3, 4, 6, 8]].any()
        foreign = store.entry({"predictor": "y"}, changed, 3)
        assert not foreign.state().any()


def test_a_list_that_shares_images_goes_on_with_what_its_runs_have_learned(tmp_path: Path) -> None:
    with open_work(tmp_path / "work") as store:
        entry = store.entry({"predictor": "x"}, IMAGES, 3)
        entry.record(batch=16)
        captions = {0: "a cat", 2: "a dog"}
        entry.write(
            rows(0, 2), VECTORS[[0, 2]], note=Note(captions=captions, unreadable={4: "is empty"})
        )
        assert store.find({"predictor": "y"}, IMAGES) is None
        other = store.find({"predictor": "x"}, IMAGES[2:])
    assert other is not None
    assert (other.dim, other.images, other.recorded("batch")) == (3, 8, 16)
    assert other.notes().captions == {0: "a dog"}
    assert other.notes().unreadable == {2: "is empty"}


def test_what_is_noted_counts_once_its_row_is_done_and_as_it_was_said_last(entry: Entry) -> None:
    entry.write(rows(0, 1), VECTORS[:2], note=Note(captions={0: "a cat", 1: "a dog"}))
    entry.write(rows(1), VECTORS[1:2], note=Note(captions={1: "a fox"}, images=1, seconds=0.5))
    entry.write(rows(), VECTORS[:0], note=Note(unreadable={7: "is empty"}, images=3, seconds=1.0))
    notes = entry.folder / "notes.jsonl"
    with notes.open("ab") as file:  # a kill within a note, then another run
        file.write(b'\n{"captions":{"2":"a h')
    entry.write(rows(3), VECTORS[3:4], note=Note(captions={3: "a hen", 4: "not done"}))
    found = entry.notes()
    assert found.captions == {0: "a cat", 1: "a fox", 3: "a hen"}
    assert (found.unreadable, found.images, found.seconds) == ({7: "is empty"}, 4, 1.5)


def test_a_folder_of_the_users_own_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with (
        pytest.raises(InputError, match=r"holds notes\.txt, which no run keeps in a work folder;"),
        open_work(tmp_path),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_in_which_nothing_was_begun_is_taken_away(tmp_path: Path) -> None:
    with open_work(tmp_path / "work"):
        assert (tmp_path / "work" / "lock").exists()
    assert not (tmp_path / "work").exists()


def test_a_lock_that_its_run_takes_along_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def too_late(lock: Path, *, wait: bool) -> Iterator[None]:
        assert not wait
        lock.unlink()  # between our opening and our holding it
        yield

    monkeypatch.setattr("ensembler.work.store.locked", too_late)
    with pytest.raises(InputError, match="another run is at work"), open_work(tmp_path / "work"):
        pass


@pytest.mark.parametrize("damage", ["entry.json", "state.u8", "vectors.f32", "notes.jsonl"])
def test_an_entry_that_lost_a_file_is_begun_again(tmp_path: Path, damage: str) -> None:
    with open_work(tmp_path / "work") as store:
        entry = store.entry({"predictor": "x"}, IMAGES, 3)
        entry.write(rows(*range(10)), VECTORS)
        (entry.folder / damage).unlink()
        assert store.entry({"predictor": "x"}, IMAGES, 3).pending(1).tolist() == list(range(10))


def test_a_disk_that_takes_only_some_bytes_is_written_to_until_it_takes_none(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, [40]

    def filling(descriptor: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(descriptor, content[: min(5, room[0])])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", filling)
    entry.write(rows(0, 1), VECTORS[:2])
    with pytest.raises(WorkError, match=r"No space left on device.*what is embedded so far is"):
        entry.write(rows(2, 3), VECTORS[2:4])
    assert entry.pending(1).tolist() == list(range(2, 10))
    np.testing.assert_array_equal(entry.vectors[:2], VECTORS[:2])


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EFBIG, "make room there"),
        (errno.EACCES, "make it writable"),
        (errno.EROFS, "make it writable"),
    ],
)
def test_a_full_disk_and_a_read_only_one_have_remedies_of_their_own(
    tmp_path: Path, code: int, remedy: str
) -> None:
    with pytest.raises(WorkError, match=f"is kept: {remedy} and run"), work_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_a_work_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WorkError, match=r"file/work cannot be written .* name another folder"),
        open_work(tmp_path / "file" / "work"),
    ):
        pass


def test_a_worker_whose_disk_is_full_ends_the_run_not_the_member(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = make_world({"a": {}}, images=4)
    said: list[Message] = []
    setup = Setup(
        images=tuple(map(str, sorted(world.images.iterdir()))),
        device="cpu",
        precision="float32",
        threads=1,
    )
    worker = Worker(setup, said.append)
    origin = world.spec.weighted.members[0].origin
    files = {"weights": str(world.folder / "checkpoints" / "a-0.npy")}
    worker.take(
        Load(
            predictor="mean_colour",
            config=origin.config,
            files=files,
            preprocessing=origin.preprocessing,
            dim=5,
        )
    )
    with open_work(tmp_path / "work") as store:
        entry = store.entry({}, IMAGES[:4], 5)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    worker.take(Embed(folder=str(entry.folder), positions=(0, 1, 2, 3), batch=2))
    assert [message.kind for message in said] == ["loaded", "stopped"]
    assert isinstance(said[1], Stopped)
    assert "No space left on device" in said[1].reason
