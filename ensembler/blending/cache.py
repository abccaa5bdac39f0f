"""The statistics of a store, from the cache where they were built before.

Entries are keyed by content: the digests of targets, folds, row weights and members, in order. The
size and modification time of their files are part of the key too, so that a file edited behind its
manifest's back is read anew, and found out by its digest. A build that is killed leaves a hidden
draft beside its entry, from which the next one goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler import __version__
from ensembler.arrays import read_array, save_array
from ensembler.blending import checkpoint
from ensembler.blending.build import (
    Kernel,
    Progress,
    build_statistics,
    compiled_engine,
    default_kernel,
    in_order,
)
from ensembler.blending.statistics import (
    Layout,
    Precision,
    Statistics,
    is_laid_out,
    layout,
    load_statistics,
    row_bytes,
)
from ensembler.caching import cache_folder, lock_entry, mark_used
from ensembler.errors import StoreError, first_few
from ensembler.files import BROKEN, atomic_folder, is_full, sha256_arrays, sha256_json
from ensembler.store.reader import TARGETS, Member, Store

LARGEST = 1 << 35  # bytes of one store's statistics; a step of a search reads about half of them
OPPOSED = -0.9  # mean cosine of two members below which their sum may cancel
RULES = 1  # raised when equal inputs come to have other statistics: rows of no weight had means
MAY_CANCEL = "may_cancel.npy"  # the answer, worked out once


@dataclass(frozen=True, eq=False, kw_only=True)
class _Wanted:
    """What statistics are of."""

    store: Store
    names: Sequence[str]
    fold: NDArray[np.int64]
    weight: NDArray[np.float64]
    precision: Precision
    pairs: bool

    @property
    def kernel(self) -> Kernel:
        """What should compute them."""
        return default_kernel(len(self.fold), self.precision) if self.pairs else "numpy"


def cached_statistics(
    store: Store,
    names: Sequence[str],
    fold: NDArray[np.int64],
    *,
    weight: NDArray[np.float64] | None = None,
    precision: Precision = "float32",
    pairs: bool = True,
    jobs: int = 1,
    progress: Callable[[int], Progress] | None = None,
) -> Statistics:
    """The Gram statistics of some members of a store, memory-mapped.

    Args:
        store: with targets.
        names: the members, in order.
        fold: (rows,) int64, the evaluation folds.
        weight: (rows,) float64, instead of the store's row weights.
        precision: of the cosines between members.
        pairs: whether there are to be any.
        jobs: threads when they must be built.
        progress: called with the number of rows to come when they must be built; returns what is
            told of rows done.

    Returns:
        The statistics.

    Raises:
        StoreError: a member or the targets are broken, or are not what the manifest says; or there
            are too many pairs for the disk of the cache, or for anyone.
    """
    own = store.samples.weight if weight is None else weight
    wanted = _Wanted(
        store=store, names=names, fold=fold, weight=own, precision=precision, pairs=pairs
    )
    try:
        entry = _entry(wanted, wanted.kernel, jobs, progress)
    except ImportError:  # numba is there, but does not work here
        entry = _entry(wanted, "numpy", jobs, progress)
    if precision == "float32" and read_array(entry / MAY_CANCEL):
        return cached_statistics(
            store, names, fold, weight=own, precision="float64", jobs=jobs, progress=progress
        )
    return load_statistics(entry, names, fold, own)


def _entry(
    wanted: _Wanted, kernel: Kernel, jobs: int, progress: Callable[[int], Progress] | None
) -> Path:
    """The folder of the statistics, built where it is missing or broken."""
    store, fold = wanted.store, wanted.fold
    members, targets = store.members(wanted.names), store.targets()
    entry = cache_folder() / _key(wanted, members, kernel)
    folds = int(fold.max()) + 1
    expected = layout(len(fold), len(members), folds, wanted.precision, pairs=wanted.pairs)
    if not _is_sound(entry, expected):
        needed = len(fold) * row_bytes(expected)
        _check_size(wanted, needed)
        with full_disk_told(entry.parent, needed), lock_entry(entry):
            if not _is_sound(entry, expected):  # nobody built it while we waited
                shutil.rmtree(entry, ignore_errors=True)  # a broken one
                if kernel == "numba":
                    compiled_engine()  # fails, if it does, before there is a draft
                tick = progress(2 * len(fold)) if progress else None
                with atomic_folder(entry, resumed=True) as folder:
                    built = build_statistics(
                        folder, members, targets, fold, wanted.weight,
                        precision=wanted.precision, kernel=kernel, pairs=wanted.pairs, jobs=jobs,
                        progress=tick,
                    )  # fmt: skip
                    _check_digests(store, members, jobs)  # after what NaN says of itself
                    cancels = wanted.pairs and _may_cancel(built)
                    save_array(folder / MAY_CANCEL, np.array(cancels))
                    (folder / checkpoint.FILE).unlink(missing_ok=True)
    mark_used(entry)
    return entry


def _check_size(wanted: _Wanted, needed: int) -> None:
    """Refuse before any work what would take hours at each step of a search."""
    if needed > LARGEST:
        raise StoreError(
            f"{wanted.store.path}: the statistics of {len(wanted.names):,} members over"
            f" {len(wanted.fold):,} rows, a number for each pair and row, would take"
            f" {needed / 1e9:,.0f} GB; {LARGEST / 1e9:,.0f} GB are the most. Choose members first:"
            " `--blender weighted:members_at_most=15` selects as many from all and builds only the"
            " pairs that it looks at, or name some with --members"
        )


@contextmanager
def full_disk_told(folder: Path, needed: int) -> Iterator[None]:
    """Say of a full disk what it takes; the draft stays for the next build."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StoreError(
            f"no room left in the cache {folder} (its disk or your quota is full): these statistics"
            f" take {needed / 1e6:,.1f} MB; make room and run the same again, which goes on from"
            " what is done, or set ENSEMBLER_CACHE to a folder on another disk"
        ) from error


def _is_sound(entry: Path, expected: Layout) -> bool:
    """Whether an entry is there, and each of its files is what its name says."""
    try:
        small = [
            read_array(entry / name).size for name in ("means.npy", "fold_sums.npy", MAY_CANCEL)
        ]
    except BROKEN:
        return False
    return all(small) and is_laid_out(entry, expected)


def _check_digests(store: Store, members: Sequence[Member], jobs: int) -> None:
    """A spec names what it was fitted on by digest: here the digests are made true."""
    record = store.manifest.targets
    digests = in_order(Member.digest, members, jobs)
    altered = [
        m.name for m, digest in zip(members, digests, strict=True) if digest != m.record.sha256
    ]
    if record is not None and sha256_arrays(store.targets()) != record.sha256:
        altered.append("the targets")
    if altered:
        raise StoreError(
            f"{store.path}: {first_few(altered)} changed after they were written (their sha256 is"
            " not the manifest's); `ensembler store audit` tells more: add them again"
        )


def _may_cancel(statistics: Statistics) -> bool:
    """Whether two members point away from each other, so that float32 cannot tell what is left."""
    for geometry in (statistics.raw, statistics.centred):
        present = (geometry.lengths > 0.0).astype(np.float32)
        first, second = np.triu_indices(present.shape[1], 1)
        total = geometry.cosines.sum(axis=0, dtype=np.float64)
        together = np.maximum((present.T @ present)[first, second], 1.0)
        if (total < OPPOSED * together).any():
            return True
    return False


def _key(wanted: _Wanted, members: Sequence[Member], kernel: Kernel) -> str:
    store = wanted.store
    targets = store.manifest.targets
    return sha256_json(
        {
            "ensembler": __version__,  # another release may lay them out, or round them, otherwise
            "rules": RULES,
            "precision": wanted.precision,
            "kernel": kernel,  # the last digits may differ
            "pairs": wanted.pairs,
            "targets": targets.sha256 if targets else None,
            "rows": sha256_arrays(wanted.fold, wanted.weight),
            "members": [m.record.sha256 for m in members],
            "files": stamps((store.path / TARGETS, *member_files(members))),
        }
    )


def member_files(members: Iterable[Member]) -> list[Path]:
    """The files of members' embeddings."""
    return [m.path / name for m in members for name in ("rows.npy", "embeddings.npy")]


def stamps(files: Iterable[Path]) -> list[list[int]]:
    """Size and time of modification of each file."""
    found = (file.stat() for file in files)
    return [[stat.st_size, stat.st_mtime_ns] for stat in found]
