"""Atomic writes and digests of contents."""

import errno
import fcntl
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensembler import files
from ensembler.errors import InputError
from ensembler.files import (
    atomic_folder,
    atomic_write,
    canonical_json,
    is_full,
    locked,
    partial_path,
    sha256_arrays,
    sha256_json,
    writable_file,
)


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", ".", "..", "folder"])
def test_a_folder_cannot_be_written_as_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(IsADirectoryError), atomic_write(Path(name)):
        pass
    with pytest.raises(InputError, match="is a folder and cannot be written; name a file in it"):
        writable_file(name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_in_a_folder_that_is_not_there_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out\.csv cannot be written: there is no folder .*no;"):
        writable_file(tmp_path / "no" / "out.csv")
    assert writable_file(tmp_path / "out.csv") == tmp_path / "out.csv"


def test_a_file_in_a_read_only_folder_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write where no one else may
    with pytest.raises(InputError, match=r"out\.csv cannot be written: .* is read-only;"):
        writable_file(tmp_path / "out.csv")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    partial_path(path).write_bytes(b"left by a kill, and longer than the new content")
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_contents_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "spec.json", []
    sync, replace = os.fsync, Path.replace

    def seen_sync(descriptor: int) -> None:
        steps.append("sync")
        sync(descriptor)

    def seen_replace(old: Path, new: Path) -> Path:
        steps.append("rename")
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", seen_sync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    with atomic_write(path) as file:
        file.write(b"new")
    assert steps[:2] == ["sync", "rename"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "none" / "spec.json"):
        pass


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with atomic_folder(path) as draft:
        (draft / "members").mkdir()
        (draft / "members" / "rows.npy").write_bytes(b"rows")
        assert not path.exists()
    assert (path / "members" / "rows.npy").read_bytes() == b"rows"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "store") as draft:
            (draft / "rows.npy").write_bytes(b"rows")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_content_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    (path / "kept").write_bytes(b"kept")
    with pytest.raises(OSError, match="store"), atomic_folder(path) as draft:
        (draft / "new").write_bytes(b"new")
    assert [file.name for file in path.iterdir()] == ["kept"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_of_a_folder_does_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    partial_path(path).mkdir()
    (partial_path(path) / "stale").write_bytes(b"stale")
    with atomic_folder(path) as draft:
        (draft / "fresh").write_bytes(b"fresh")
    assert [file.name for file in path.iterdir()] == ["fresh"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_a_resumed_folder_for_the_next_attempt(
    tmp_path: Path, number: int
) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "entry", resumed=True) as draft:
            (draft / "rows.npy").write_bytes(b"rows")
            raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write()
    assert is_full(caught.value)
    assert (partial_path(tmp_path / "entry") / "rows.npy").read_bytes() == b"rows"


@pytest.mark.parametrize("error", [OSError(), PermissionError(errno.EACCES, "no"), ValueError()])
def test_any_other_error_clears_a_resumed_folder(tmp_path: Path, error: Exception) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "entry", resumed=True):
            raise error

    with pytest.raises(type(error)):
        write()
    assert not is_full(error)
    assert list(tmp_path.iterdir()) == []


def test_canonical_json_is_these_bytes() -> None:
    document = {"b": [1, 2.5], "a": {"ü": None}}
    expected = '{\n  "a": {\n    "ü": null\n  },\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    assert canonical_json(document) == expected.encode()
    assert sha256_json(document) == hashlib.sha256(expected.encode()).hexdigest()


def test_the_order_of_keys_does_not_change_the_digest() -> None:
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_cannot_hold_what_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"score": value})


def test_an_arrays_digest_is_of_type_shape_and_little_endian_bytes() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = hashlib.sha256(b"<f4(2, 3)" + array.tobytes()).hexdigest()
    assert sha256_arrays(array) == expected
    assert sha256_arrays(array.astype(">f4")) == expected
    assert sha256_arrays(np.asfortranarray(array)) == expected
    assert sha256_arrays(np.repeat(array, 2, axis=0)[::2]) == expected


def test_arrays_that_differ_in_any_way_have_other_digests() -> None:
    array = np.arange(6, dtype=np.float32)
    others: list[NDArray[np.generic]] = [
        array.reshape(2, 3),
        array.reshape(3, 2),
        array.astype(np.float64),
        array.view(np.int32),
        array[::-1],
        array[:0],
    ]
    digests = {sha256_arrays(array), *(sha256_arrays(other) for other in others)}
    assert len(digests) == 7
    assert sha256_arrays(array, array[:1]) != sha256_arrays(array[:1], array)


@pytest.mark.parametrize("none", files.NO_LOCKS)
def test_where_the_file_system_has_no_locks_nothing_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, none: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(none, os.strerror(none))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path), locked(tmp_path, wait=False):
        pass


def test_a_lock_that_fails_otherwise_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path):
        pass


@settings(max_examples=20)
@given(block=st.integers(1, 200), rows=st.integers(0, 40))
def test_digests_do_not_depend_on_the_blocks_they_are_taken_in(block: int, rows: int) -> None:
    array = np.random.default_rng(rows).normal(size=(rows, 3))
    whole = sha256_arrays(array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "DIGEST_BLOCK", block)
        assert sha256_arrays(array) == whole
