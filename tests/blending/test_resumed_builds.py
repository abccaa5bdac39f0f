"""A build that dies goes on where it was, and ends in the bytes of one that nobody disturbed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from ensembler.blending import build, cache, checkpoint
from ensembler.blending.build import Kernel
from ensembler.blending.cache import cached_statistics
from ensembler.blending.checkpoint import Checkpoint
from ensembler.blending.sources import Block, Sums
from ensembler.blending.statistics import Statistics, row_bytes
from ensembler.errors import StoreError
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

ROOT = Path(__file__).parents[2]
ROWS, DIM, CHUNK = 30, 6, 4
CHUNKS = 8  # of each pass
MOMENTS: list[tuple[Kernel, str]] = [
    *(("numpy", f"chunk-{count}") for count in (1, 5, 8, 9, 15, 16)),
    ("numpy", "writing"),
    ("numba", "chunk-5"),
    ("numba", "writing"),
]

# Dies after so many chunks, or in the middle of writing the rows of the fourth.
DYING = """
import os, signal, sys
from ensembler.blending import build, cache
from ensembler.store.reader import Store

store, kernel, moment = Store.open(sys.argv[1]), sys.argv[2], sys.argv[3]
build.CHUNK, build.CHECKPOINT_S = 4, 0.0
cache.default_kernel = lambda rows, precision: kernel
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
told, write = [], build._write

def tick(rows):
    told.append(rows)
    if moment == f"chunk-{len(told)}":
        die()

def torn(folder, start, rows, block):
    if moment == "writing" and start == 12:
        half = {name: array[:2] for name, array in block.items()}
        write(folder, start, rows, dict(list(half.items())[:5]))
        die()
    write(folder, start, rows, block)

build._write = torn
cache.cached_statistics(store, store.names, store.samples.fold, progress=lambda _: tick)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "targets.npy", rng.normal(size=(ROWS, DIM)))
    ids = [f"i{row}" for row in range(ROWS)]
    (tmp_path / "samples.csv").write_text("\n".join(["id", *ids]) + "\n")
    create_store(
        tmp_path / "oof", tmp_path / "samples.csv", targets=tmp_path / "targets.npy", folds=3
    )
    for name in ("left", "right"):
        np.savez(
            tmp_path / f"{name}.npz", id=np.array(ids), embeddings=rng.normal(size=(ROWS, DIM))
        )
        add_member(tmp_path / "oof", name, [tmp_path / f"{name}.npz"])
    return Store.open(tmp_path / "oof")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CHUNK", CHUNK)
    monkeypatch.setattr(build, "CHECKPOINT_S", 0.0)


@pytest.fixture
def use_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Switch to a cache by name; returns its folder."""

    def use(name: str) -> Path:
        monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / name))
        return tmp_path / name

    return use


def statistics(store: Store, told: list[int] | None = None) -> Statistics:
    tick = (lambda _: None) if told is None else told.append
    return cached_statistics(store, store.names, store.samples.fold, progress=lambda _: tick)


def entry_bytes(folder: Path) -> dict[str, bytes]:
    """The files of the only entry of a cache."""
    (entry,) = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return {file.name: file.read_bytes() for file in entry.iterdir()}


def drafts(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(".partial")]


def killed_draft(store: Store, folder: Path, moment: str, kernel: Kernel = "numpy") -> Path:
    """What a build leaves in a cache when its process is killed at a moment."""
    died = subprocess.run(
        [sys.executable, "-c", DYING, store.path, kernel, moment], check=False, cwd=ROOT
    )
    assert died.returncode == -signal.SIGKILL
    (draft,) = drafts(folder)
    return draft


@pytest.mark.parametrize(("kernel", "moment"), MOMENTS)
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(
    store: Store,
    use_cache: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    kernel: Kernel,
    moment: str,
) -> None:
    monkeypatch.setattr(cache, "default_kernel", lambda *_: kernel)
    whole = use_cache("whole")
    statistics(store)
    killed = use_cache("killed")
    killed_draft(store, killed, moment, kernel)
    told: list[int] = []
    statistics(store, told)
    done = CHUNKS + 3 if moment == "writing" else int(moment.removeprefix("chunk-"))
    rows = min(done, CHUNKS) * CHUNK - (2 if done >= CHUNKS else 0)
    rows += max(done - CHUNKS, 0) * CHUNK - (2 if done == 2 * CHUNKS else 0)
    assert told[0] == rows
    assert sum(told) == 2 * ROWS
    assert entry_bytes(killed) == entry_bytes(whole)
    assert drafts(killed) == []


def test_an_interrupted_build_goes_on(store: Store, use_cache: Callable[[str], Path]) -> None:
    whole = use_cache("whole")
    statistics(store)
    folder = use_cache("interrupted")

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_statistics(
            store, store.names, store.samples.fold, progress=lambda _: interrupted, jobs=2
        )
    assert len(drafts(folder)) == 1
    told: list[int] = []
    statistics(store, told)
    assert len(told) == 2 * CHUNKS  # the first was told of what had been done
    assert entry_bytes(folder) == entry_bytes(whole)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_a_broken_checkpoint_begins_the_build_anew(
    store: Store, use_cache: Callable[[str], Path], damage: bytes
) -> None:
    whole = use_cache("whole")
    statistics(store)
    folder = use_cache("damaged")
    (killed_draft(store, folder, "chunk-9") / checkpoint.FILE).write_bytes(damage)
    told: list[int] = []
    statistics(store, told)
    assert told[0] == CHUNK
    assert entry_bytes(folder) == entry_bytes(whole)


def test_a_build_that_fails_leaves_no_draft(store: Store, use_cache: Callable[[str], Path]) -> None:
    folder = use_cache("failed")
    file = store.path / "members" / "left" / "embeddings.npy"
    values = np.load(file)
    values[-1, 0] = np.inf
    np.save(file, values)
    with pytest.raises(StoreError, match="'left'"):
        statistics(store)
    assert drafts(folder) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_what_is_needed_and_the_next_build_goes_on(
    store: Store, use_cache: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole = use_cache("whole")
    statistics(store)
    folder = use_cache("full")
    write = build._write

    def filling(draft: Path, start: int, rows: int, block: Block) -> None:
        if start == 3 * CHUNK:
            raise OSError(number, os.strerror(number))
        write(draft, start, rows, block)

    row = 2 * (4 * 1 + 8 * 2 + 8 * 2 + 4 * 2 * 3) + 8 * 3  # bytes, of two members and three folds
    monkeypatch.setattr(build, "_write", filling)
    monkeypatch.setattr(cache, "row_bytes", lambda shapes: 10**6 * row_bytes(shapes))
    with pytest.raises(StoreError, match=f"{folder}.* {ROWS * row:,}.0 MB.*ENSEMBLER_CACHE"):
        statistics(store)
    monkeypatch.setattr(build, "_write", write)
    told: list[int] = []
    statistics(store, told)
    assert told[0] == ROWS + 3 * CHUNK
    assert entry_bytes(folder) == entry_bytes(whole)
    assert drafts(folder) == []


@pytest.mark.parametrize("place", [(build, "save_array"), (cache, "save_array")])
def test_a_disk_too_full_for_a_small_array_is_told_as_well(
    store: Store,
    use_cache: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[object, str],
) -> None:
    folder = use_cache("full")

    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*place, full)
    with pytest.raises(StoreError, match="no room left"):
        statistics(store)
    assert len(drafts(folder)) == 1


def lose(file: Path) -> None:
    file.unlink()


def shorten(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 8)


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + bytes(8))


def widen(file: Path) -> None:
    np.save(file, np.load(file).astype(np.float64))


def reshape(file: Path) -> None:
    np.save(file, np.load(file)[:, :-1])


@pytest.mark.parametrize("damage", [lose, shorten, lengthen, widen, reshape])
def test_a_draft_whose_arrays_are_not_as_laid_out_is_begun_anew(
    store: Store, use_cache: Callable[[str], Path], damage: Callable[[Path], None]
) -> None:
    whole = use_cache("whole")
    statistics(store)
    folder = use_cache("damaged")
    damage(killed_draft(store, folder, "chunk-12") / "raw.fold_cosines.npy")
    told: list[int] = []
    statistics(store, told)
    assert told[0] == CHUNK
    assert entry_bytes(folder) == entry_bytes(whole)


def test_a_checkpoint_does_not_outlive_the_arrays_it_vouches_for(
    store: Store, use_cache: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = use_cache("whole")
    statistics(store)
    folder = use_cache("damaged")
    lose(killed_draft(store, folder, "chunk-12") / "raw.cosines.npy")
    monkeypatch.setattr(build, "CHECKPOINT_S", 1e9)  # the arrays are made anew, then comes the end

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_statistics(store, store.names, store.samples.fold, progress=lambda _: interrupted)
    statistics(store)
    assert entry_bytes(folder) == entry_bytes(whole)


def test_all_that_a_checkpoint_counts_is_on_the_disk_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(os.fstat(opened).st_ino))
    for name in ("raw.cosines.npy", "raw.cross.npy"):
        np.save(tmp_path / name, np.zeros(3))
    Checkpoint(1, 0, Sums.zeros(2, 3, 4)).save(tmp_path)
    arrays = {file.stat().st_ino for file in tmp_path.glob("*.npy")}
    assert set(synced[:2]) == arrays
    assert synced[2] == (tmp_path / checkpoint.FILE).stat().st_ino
