"""The cache folder: where it is, what stays in it, and who may make an entry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ensembler.caching import cache_folder, making, mark_used
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
    (folder / "old").mkdir()
    for name in ("old/file", "old.npy", ".old.npy.lock", "used.npy", "new.npy"):
        (folder / name).write_text("")
    for name in ("old", "old.npy", ".old.npy.lock", "used.npy"):
        os.utime(folder / name, (1.0, 1.0))
    mark_used(folder / "used.npy")
    with making(folder / "made"):
        (folder / "made").write_text("")
    assert {path.name for path in folder.iterdir()} == {"used.npy", "new.npy", "made", ".made.lock"}


def test_an_entry_is_made_by_one_at_a_time(folder: Path) -> None:
    with (
        making(folder / "made"),
        making(folder / "other"),
        pytest.raises(BlockingIOError),
        locked(folder / ".made.lock", wait=False),
    ):
        pass


def test_an_entry_that_is_gone_cannot_be_marked_and_costs_nothing(folder: Path) -> None:
    mark_used(folder / "gone")
    assert not list(folder.iterdir())
