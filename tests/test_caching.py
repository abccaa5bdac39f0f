"""The cache folder: where it is, what stays in it, and who may make an entry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ensembler.caching import cache_folder, lock_entry, mark_used
from ensembler.files import locked


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own."""
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "cache"))
    return cache_folder()


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("ENSEMBLER_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "ensembler"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ensembler"


def test_a_cache_that_cannot_be_written_gives_way_to_a_temporary_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "a-file" / "cache"))
    temporary = cache_folder()
    assert temporary.is_dir()
    assert tmp_path not in temporary.parents
    assert cache_folder() == temporary


def test_what_is_unused_for_long_goes_when_an_entry_is_made(folder: Path) -> None:
    old, used, new, made = (letter * 64 for letter in "abcd")
    (folder / old).mkdir()
    (folder / f".{old}.partial").mkdir()
    names = (f"{old}/file", f"{old}.npy", f".{old}.lock", f".{old}.npy.lock", f"{used}.npy", new)
    for name in names:
        (folder / name).write_text("")
    for path in folder.iterdir():
        if path.name != new:
            os.utime(path, (1.0, 1.0))
    mark_used(folder / f"{used}.npy")
    with lock_entry(folder / made):
        (folder / made).write_text("")
    assert {path.name for path in folder.iterdir()} == {f"{used}.npy", new, made, f".{made}.lock"}


def test_what_the_user_keeps_in_the_cache_folder_is_never_dropped(folder: Path) -> None:
    theirs = ["thesis.tex", ".git", "a" * 63, "a" * 65, "A" * 64, f"{'a' * 64}.jpg", "photos"]
    (folder / "photos").mkdir()
    for name in theirs[:-1]:
        (folder / name).write_text("kept")
    for name in theirs:
        os.utime(folder / name, (1.0, 1.0))
    with lock_entry(folder / ("b" * 64)):
        pass
    assert {path.name for path in folder.iterdir()} == {*theirs, f".{'b' * 64}.lock"}


def test_an_entry_that_another_process_moves_meanwhile_is_left_to_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = folder / f".{'a' * 64}.partial"
    draft.mkdir()
    listed = [draft, *folder.iterdir()]
    draft.rename(folder / ("a" * 64))
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))
    with lock_entry(folder / ("b" * 64)):
        pass
    assert (folder / ("a" * 64)).is_dir()


def test_an_entry_is_made_by_one_at_a_time(folder: Path) -> None:
    with (
        lock_entry(folder / "made"),
        lock_entry(folder / "other"),
        pytest.raises(BlockingIOError),
        locked(folder / ".made.lock", wait=False),
    ):
        pass


def test_an_entry_that_is_gone_cannot_be_marked_and_costs_nothing(folder: Path) -> None:
    mark_used(folder / "gone")
    assert not list(folder.iterdir())
