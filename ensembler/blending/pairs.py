"""Cosines of one member with all others: what a selection that takes member by member looks at.

Where members are many, most pairs are never asked for. `ScarcePairs` builds those of one member
when it is taken, in a pass over all members, and keeps them in the cache: a selection of K from M
members costs K·M cosines a row, not M(M-1)/2. Selections on other folds of the same rows share
them, and one that was killed finds them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ensembler import __version__
from ensembler.arrays import map_array
from ensembler.blending.build import in_order
from ensembler.blending.cache import RULES, full_disk_told, member_files, stamps
from ensembler.blending.statistics import Geometry, Statistics
from ensembler.caching import cache_folder, lock_entry, mark_used
from ensembler.files import BROKEN, atomic_write, sha256_arrays, sha256_json
from ensembler.store.reader import Store

CHUNK = 256  # rows of a member held at once: with those of another they stay in the cache


class Pairs(Protocol):
    """Cosines between M members under one centring."""

    def prepare(self, members: Iterable[int]) -> None:
        """Make ready what will be asked of some members; together costs less than one by one."""

    def between(self, member: int, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """(n, M) cosines of one member with each on some rows; 0 where either is absent.

        With itself it is anything: nobody asks.
        """


class KnownPairs:
    """The pairs of full statistics.

    Args:
        geometry: of M members.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._cosines = geometry.cosines
        members = geometry.lengths.shape[1]
        first, second = np.triu_indices(members, 1)
        self._place = np.zeros((members, members), dtype=np.intp)
        self._place[first, second] = self._place[second, first] = np.arange(len(first))

    def prepare(self, members: Iterable[int]) -> None:
        """As `Pairs.prepare` says: all are there."""

    def between(self, member: int, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """As `Pairs.between` says."""
        found = np.zeros((len(rows), len(self._place)), dtype=self._cosines.dtype)
        others = np.arange(len(self._place)) != member
        found[:, others] = self._cosines[np.ix_(rows, self._place[member, others])]
        return found


class ScarcePairs:
    """Pairs that are built when they are asked for.

    Args:
        store: with the members' embeddings.
        statistics: of its members, each by itself: built without pairs.
        centred: whether members stand less their means.
        jobs: threads; the result is the same for any number.
    """

    def __init__(
        self, store: Store, statistics: Statistics, *, centred: bool, jobs: int = 1
    ) -> None:
        self._members = store.members(statistics.names)
        self._lengths = statistics.geometry(centred).lengths
        self._means = statistics.means if centred else np.zeros_like(statistics.means)
        self._dtype = statistics.raw.fold_cosines.dtype
        self._jobs = jobs
        self._opened: dict[int, NDArray[Any]] = {}
        self._key = {
            "ensembler": __version__,
            "rules": RULES,
            "precision": self._dtype.name,
            "means": sha256_arrays(self._means),
            "members": [member.record.sha256 for member in self._members],
            "files": stamps(member_files(self._members)),
        }

    def between(self, member: int, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """As `Pairs.between` says, of a member that is prepared."""
        return np.asarray(self._opened[member][rows])

    def prepare(self, members: Iterable[int]) -> None:
        """Build in one pass what the cache lacks of some members, and open it.

        Raises:
            StoreError: the disk of the cache is full.
        """
        entries = {m: self._entry(m) for m in sorted({*members} - {*self._opened})}
        missing = [m for m, entry in entries.items() if not self._is_sound(entry)]
        if missing:
            folder = entries[missing[0]].parent
            needed = len(missing) * self._lengths.size * self._dtype.itemsize
            with full_disk_told(folder, needed), ExitStack() as held:
                for entry in sorted(entries[m] for m in missing):  # the same order for everyone
                    held.enter_context(lock_entry(entry))
                still = {m: entries[m] for m in missing if not self._is_sound(entries[m])}
                if still:  # nobody built them while we waited
                    self._build(still)
        for m, entry in entries.items():
            mark_used(entry)
            self._opened[m] = np.asarray(map_array(entry))

    def _entry(self, member: int) -> Path:
        key = sha256_json({**self._key, "pairs of": self._members[member].name})
        return cache_folder() / f"{key}.npy"

    def _is_sound(self, entry: Path) -> bool:
        try:
            found = map_array(entry)
        except BROKEN:
            return False
        return (found.shape, found.dtype) == (self._lengths.shape, self._dtype)

    def _build(self, entries: Mapping[int, Path]) -> None:
        """Write the pairs of some members; all appear at once."""
        rows = len(self._lengths)
        chunks = [range(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": self._lengths.shape,
        }
        with ExitStack() as opened:
            files = [opened.enter_context(atomic_write(entry)) for entry in entries.values()]
            for file in files:
                npy.write_array_header_1_0(file, header)
            for found in in_order(partial(self._chunk, tuple(entries)), chunks, self._jobs):
                for file, cosines in zip(files, found, strict=True):
                    file.write(cosines.data)

    def _chunk(self, members: Sequence[int], chunk: range) -> NDArray[Any]:
        """(k, n, M) cosines of some members with each on consecutive rows."""
        lengths = self._lengths[chunk.start : chunk.stop]
        inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
        memory = np.empty((len(members) + 1, len(chunk), self._means.shape[1]), self._dtype)
        *units, other = memory
        for unit, member in zip(units, members, strict=True):
            self._read(member, chunk, unit)
            unit *= inverse[:, member, None]
        found = np.empty((len(members), *lengths.shape), dtype=self._dtype)
        for m in range(len(self._members)):
            self._read(m, chunk, other)
            for unit, cosines in zip(units, found, strict=True):
                cosines[:, m] = np.einsum("id,id->i", unit, other) * inverse[:, m]
        return found

    def _read(self, member: int, chunk: range, out: NDArray[Any]) -> None:
        self._members[member].read_into(out, chunk.start)
        out -= self._means[member]
