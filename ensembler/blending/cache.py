"""The statistics of a store, from the cache where they were built before.

Entries are keyed by content: the digests of targets, folds, row weights and members, in order. The
size and modification time of their files are part of the key too, so that a file edited behind its
manifest's back is read anew. Entries can be deleted at any time.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.build import Progress, build_statistics
from ensembler.blending.statistics import Precision, Statistics, open_geometry
from ensembler.files import atomic_folder, locked, sha256_arrays, sha256_json
from ensembler.store.reader import TARGETS, Member, Store

LAYOUT = 1  # raise when the arrays or their meaning change: old entries are then never found
SMALL = ("means", "fold_sums", "target_cosines")


def cached_statistics(
    store: Store,
    names: Sequence[str],
    fold: NDArray[np.int64],
    *,
    precision: Precision = "float32",
    jobs: int = 1,
    progress: Callable[[int], Progress] | None = None,
) -> Statistics:
    """The Gram statistics of some members of a store, memory-mapped.

    Args:
        store: with targets.
        names: the members, in order.
        fold: (rows,) int64, the evaluation folds.
        precision: of the cosines between members.
        jobs: threads when they must be built.
        progress: called with the number of rows to come when they must be built; returns what is
            told of rows done.

    Returns:
        The statistics.

    Raises:
        StoreError: a member or the targets are broken.
    """
    members, targets, weight = store.members(names), store.targets(), store.samples.weight
    entry = cache_folder() / _key(store, members, fold, precision)
    if not entry.exists():
        lock = entry.with_name(f".{entry.name}.lock")
        lock.touch()
        with locked(lock):
            if not entry.exists():  # nobody built it while we waited
                tick = progress(2 * len(fold)) if progress else None
                with atomic_folder(entry) as folder:
                    built = build_statistics(
                        folder, members, targets, fold, weight,
                        precision=precision, jobs=jobs, progress=tick,
                    )  # fmt: skip
                    for name in SMALL:
                        np.save(folder / f"{name}.npy", getattr(built, name))
    return Statistics(
        names=tuple(names),
        weight=weight,
        fold=fold,
        raw=open_geometry(entry, "raw"),
        centred=open_geometry(entry, "centred"),
        **{name: np.load(entry / f"{name}.npy") for name in SMALL},
    )


def cache_folder() -> Path:
    """Where statistics are kept: `ENSEMBLER_CACHE`, else the user's cache folder.

    Returns:
        A folder that can be written; a temporary one, gone at exit, where the user's cannot.
    """
    chosen = os.environ.get("ENSEMBLER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(base) / "ensembler"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return _temporary_folder()


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ensembler-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _key(
    store: Store, members: Sequence[Member], fold: NDArray[np.int64], precision: Precision
) -> str:
    targets = store.manifest.targets
    paths = [m.path / name for m in members for name in ("rows.npy", "embeddings.npy")]
    files = [path.stat() for path in (store.path / TARGETS, *paths)]
    return sha256_json(
        {
            "layout": LAYOUT,
            "precision": precision,
            "targets": targets.sha256 if targets else None,
            "rows": sha256_arrays(fold, store.samples.weight),
            "members": [m.record.sha256 for m in members],
            "files": [[stat.st_size, stat.st_mtime_ns] for stat in files],
        }
    )
