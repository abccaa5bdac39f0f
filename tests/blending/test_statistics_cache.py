"""Statistics from the cache: the same bytes as fresh ones, and never those of something else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending import cache
from ensembler.blending.build import build_statistics
from ensembler.blending.cache import cached_statistics
from ensembler.blending.statistics import Geometry, Statistics
from ensembler.errors import StoreError
from ensembler.store.create import create_store
from ensembler.store.reader import TARGETS, Store
from ensembler.store.writer import add_member

ROWS, DIM = 30, 6
NAMES = ("left", "right")


@pytest.fixture
def store_of(tmp_path: Path) -> Callable[..., Store]:
    """A store of two members; its row weights and one of its values can be chosen."""

    def make(name: str = "store", *, weight: float = 1.0, first: float = 0.5) -> Store:
        rng = np.random.default_rng(0)
        folder = tmp_path / name
        targets, samples = tmp_path / "targets.npy", tmp_path / "samples.csv"
        np.save(targets, rng.normal(size=(ROWS, DIM)))
        lines = [f"i{row},g{row % 10},{weight if row == 0 else 1.0}" for row in range(ROWS)]
        samples.write_text("\n".join(["id,group,weight", *lines]) + "\n")
        create_store(folder, samples, targets=targets, folds=3)
        (tmp_path / "ids.txt").write_text("\n".join(f"i{row}" for row in range(ROWS)) + "\n")
        for member in NAMES:
            vectors = rng.normal(size=(ROWS, DIM)).astype(np.float32)
            vectors[0, 0] = first
            np.save(tmp_path / f"{member}.npy", vectors)
            add_member(folder, member, [tmp_path / f"{member}.npy"], ids=[tmp_path / "ids.txt"])
        return Store.open(folder)

    return make


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own."""
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(cache: Path) -> list[Path]:
    """The finished entries of a cache: locks and drafts are hidden."""
    return [path for path in cache.iterdir() if not path.name.startswith(".")]


def evaluation(store: Store) -> NDArray[np.int64]:
    return store.samples.fold


def contents(statistics: Statistics) -> list[bytes]:
    """Every array of the statistics."""
    geometries = [
        getattr(geometry, field.name)
        for geometry in (statistics.raw, statistics.centred)
        for field in fields(Geometry)
    ]
    small = [statistics.means, statistics.fold_sums, statistics.target_cosines]
    rows = [statistics.weight, statistics.fold]
    return [np.asarray(array).tobytes() for array in (*geometries, *small, *rows)]


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("built again")


def test_cached_statistics_are_the_bytes_of_fresh_ones(
    store_of: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of()
    fold, weight = evaluation(store), store.samples.weight
    (tmp_path / "fresh").mkdir()
    fresh = build_statistics(
        tmp_path / "fresh", store.members(NAMES), store.targets(), fold, weight
    )
    first = cached_statistics(store, NAMES, fold, jobs=2)
    monkeypatch.setattr(cache, "build_statistics", refuse)
    second = cached_statistics(store, NAMES, fold)
    assert contents(first) == contents(second) == contents(fresh)
    assert first.names == second.names == fresh.names


def test_progress_is_told_only_when_statistics_are_built(store_of: Callable[..., Store]) -> None:
    store = store_of()
    totals: list[int] = []
    done: list[int] = []

    def progress(total: int) -> Callable[[int], None]:
        totals.append(total)
        return done.append

    for _ in range(2):
        cached_statistics(store, NAMES, evaluation(store), progress=progress)
    assert (totals, sum(done)) == ([2 * ROWS], 2 * ROWS)


def test_whatever_decides_the_statistics_is_part_of_the_key(
    store_of: Callable[..., Store], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of()
    fold = evaluation(store)
    cached_statistics(store, NAMES, fold)
    cached_statistics(store, NAMES, fold, precision="float64")
    cached_statistics(store, NAMES, (fold + 1) % 3)
    cached_statistics(store, NAMES[::-1], fold)
    cached_statistics(store, NAMES[:1], fold)
    cached_statistics(store_of("heavier", weight=2.0), NAMES, fold)
    cached_statistics(store_of("other", first=0.25), NAMES, fold)
    monkeypatch.setattr(cache, "default_kernel", lambda *_: "numba")
    cached_statistics(store, NAMES, fold)
    assert len(entries(folder)) == 8


@pytest.mark.parametrize("fault", [ImportError, OSError, AttributeError, RuntimeError])
def test_numpy_serves_where_numba_cannot_be_loaded(
    store_of: Callable[..., Store],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[Exception],
) -> None:
    store = store_of()
    expected = contents(cached_statistics(store, NAMES, evaluation(store)))
    shutil.rmtree(folder)
    totals: list[int] = []

    def progress(total: int) -> Callable[[int], None]:
        totals.append(total)
        return lambda _: None

    class Broken:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "ensembler.blending.compiled":
                raise fault("Could not find or load libllvmlite.so")

    monkeypatch.setattr(cache, "default_kernel", lambda *_: "numba")
    monkeypatch.delitem(sys.modules, "ensembler.blending.compiled", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    found = cached_statistics(store, NAMES, evaluation(store), progress=progress)
    assert contents(found) == expected
    assert totals == [2 * ROWS]  # no draft of the other kernel was begun
    assert len(entries(folder)) == 1


@pytest.mark.parametrize(
    ("file", "named"), [(TARGETS, "the targets"), ("members/right/embeddings.npy", "right")]
)
def test_a_file_edited_behind_the_manifests_back_is_found_out(
    store_of: Callable[..., Store], folder: Path, file: str, named: str
) -> None:
    store = store_of()
    cached_statistics(store, NAMES, evaluation(store))
    path = store.path / file
    values = np.load(path)
    values[3] = values[4]
    np.save(path, values)
    os.utime(path, ns=(1, 1))  # file systems with coarse clocks may not notice the second write
    again = Store.open(store.path)
    with pytest.raises(StoreError, match=f"{named} changed after they were written"):
        cached_statistics(again, NAMES, evaluation(again))
    assert len(entries(folder)) == 1


@pytest.mark.parametrize("file", ["raw.cosines.npy", "means.npy", "may_cancel.npy"])
@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY"])
def test_a_broken_entry_is_built_again(
    store_of: Callable[..., Store], folder: Path, file: str, damage: bytes
) -> None:
    store = store_of()
    before = contents(cached_statistics(store, NAMES, evaluation(store)))
    (entry,) = entries(folder)
    (entry / file).write_bytes(damage)
    assert contents(cached_statistics(store, NAMES, evaluation(store))) == before


def test_an_entry_unused_for_long_goes_when_another_is_built(
    store_of: Callable[..., Store], folder: Path
) -> None:
    store = store_of()
    cached_statistics(store, NAMES, evaluation(store))
    (old,) = entries(folder)
    os.utime(old, (1.0, 1.0))
    cached_statistics(store, NAMES[:1], evaluation(store))
    assert len(entries(folder)) == 1
    assert not old.exists()


def test_members_that_point_away_from_each_other_get_double_precision(
    store_of: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of()
    left = store.member("left")
    vectors = -np.asarray(left.embeddings, dtype=np.float64) * (1.0 + 1e-5)
    ids = store.samples.id[left.rows]
    table = store.path / "opposed.npz"
    np.savez(table, ids=ids, embeddings=vectors)
    add_member(store.path, "opposed", [table])
    opened = Store.open(store.path)
    found = cached_statistics(opened, ("left", "opposed"), evaluation(opened))
    assert found.raw.cosines.dtype == np.float64
    assert cached_statistics(opened, NAMES, evaluation(opened)).raw.cosines.dtype == np.float32
    monkeypatch.setattr(cache, "_may_cancel", refuse)  # the entry knows
    again = cached_statistics(opened, ("left", "opposed"), evaluation(opened))
    assert again.raw.cosines.dtype == np.float64


def test_a_deleted_cache_is_built_again(store_of: Callable[..., Store], folder: Path) -> None:
    store = store_of()
    before = contents(cached_statistics(store, NAMES, evaluation(store)))
    shutil.rmtree(folder)
    assert contents(cached_statistics(store, NAMES, evaluation(store))) == before


def test_a_broken_member_leaves_no_entry(store_of: Callable[..., Store], folder: Path) -> None:
    store = store_of()
    path = store.path / "members" / "left" / "embeddings.npy"
    values = np.load(path)
    values[2, 1] = np.nan
    np.save(path, values)
    with pytest.raises(StoreError, match=r"'left'"):
        cached_statistics(store, NAMES, evaluation(store))
    assert entries(folder) == []


KILLED = """
import os, sys
from ensembler.blending.cache import cached_statistics
from ensembler.store.reader import Store

store = Store.open(sys.argv[1])
cached_statistics(store, store.names, store.samples.fold, progress=lambda _: lambda _: os._exit(9))
"""


def test_a_kill_while_building_leaves_no_entry(
    store_of: Callable[..., Store], folder: Path
) -> None:
    store = store_of()
    code = subprocess.run([sys.executable, "-c", KILLED, store.path], check=False).returncode
    assert code == 9
    assert entries(folder) == []
    cached_statistics(store, NAMES, evaluation(store))
    assert len(entries(folder)) == 1


def test_a_cache_that_cannot_be_written_gives_way_to_a_temporary_one(
    store_of: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = store_of()
    expected = contents(cached_statistics(store, NAMES, evaluation(store)))
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "a-file" / "cache"))
    assert contents(cached_statistics(store, NAMES, evaluation(store))) == expected
