"""Opening a store: arrays stay on disk, memory-mapped, until someone asks for rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import hold_array
from ensembler.errors import StoreError, unknown_name
from ensembler.files import BROKEN, sha256_arrays, sha256_json
from ensembler.store.manifest import read_manifest
from ensembler.store.model import COLUMNS, Manifest, MemberRecord

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES = "samples.parquet"
TARGETS = "targets.npy"
MEMBERS = "members"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Samples:
    """The rows of a store, in the order of the file they came from.

    Attributes:
        id: (rows,) text, unique.
        fold: (rows,) int64, -1 where a row is in none.
        group: (rows,) text; rows of one group share a fold.
        source: (rows,) text, where a row came from.
        prompt: (rows,) text, or None where the store keeps no prompts.
        weight: (rows,) float64, nonnegative with a positive sum; ones where the store has none.
        further: name → (rows,) text: whatever else is known of them.
    """

    id: NDArray[np.str_]
    fold: NDArray[np.int64]
    group: NDArray[np.str_]
    source: NDArray[np.str_]
    prompt: NDArray[np.object_] | None
    weight: NDArray[np.float64]
    further: Mapping[str, NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.id)

    def __repr__(self) -> str:
        return f"Samples({len(self)} rows in {len(np.unique(self.group))} groups)"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Member:
    """One member's embeddings on disk.

    Attributes:
        record: what member.json says.
        path: its folder.
        rows: (n,) int64, positions into the samples, ascending and unique.
        embeddings: (n, d) float16 or float32, memory-mapped.
    """

    record: MemberRecord
    path: Path
    rows: NDArray[np.int64]
    embeddings: NDArray[np.floating]

    def __repr__(self) -> str:
        record = self.record
        return f"Member({record.name!r}, {record.rows} rows × {record.dim}, {record.dtype})"

    @property
    def name(self) -> str:
        """The member's name in its store."""
        return self.record.name

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """The embeddings of samples start..stop-1.

        Args:
            start: first sample position.
            stop: one past the last.

        Returns:
            (stop - start, d) float32; zero rows where the member has none.
        """
        block = np.empty((stop - start, self.record.dim), dtype=np.float32)
        self.read_into(block, start)
        return block

    def read_into(self, block: NDArray[np.floating], start: int) -> None:
        """Copy the embeddings of consecutive samples into an array.

        Args:
            block: (n, d) float32 or float64, any strides; zero rows where the member has none.
            start: the first sample's position.
        """
        first, last = np.searchsorted(self.rows, (start, start + len(block)))
        values = self.embeddings[first:last]
        if last - first == len(block):
            block[...] = values
        else:
            block[...] = 0.0
            block[self.rows[first:last] - start] = values

    def digest(self) -> str:
        """The sha256 of what is on disk; `record.sha256` is what it was when it was written."""
        return sha256_arrays(self.rows, self.embeddings)

    def captions(self) -> pa.Table | None:
        """The texts behind the embeddings, columns id and caption; None where none were kept."""
        if not self.record.captions:
            return None
        return _read_table(self.path / "captions.parquet")


@dataclass(frozen=True, repr=False)
class Store:
    """An opened OOF store.

    Attributes:
        path: its folder.
        manifest: what manifest.json says.
    """

    path: Path
    manifest: Manifest

    def __repr__(self) -> str:
        rows, members = self.manifest.samples.rows, len(self.manifest.members)
        return f"Store({str(self.path)!r}, {rows} samples, {members} members)"

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store of any released version.

        Args:
            path: the store's folder.

        Returns:
            The store; nothing but the manifest has been read.

        Raises:
            StoreError: there is none, or its manifest is broken or of an unknown version; see
                `read_manifest`.
        """
        folder = Path(path)
        return cls(folder, read_manifest(folder))

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names, in the order they were added."""
        return tuple(record.name for record in self.manifest.members)

    @property
    def digest(self) -> str:
        """The sha256 of the manifest's contents, hence of all that it names."""
        return sha256_json(self.manifest.model_dump(mode="json"))

    @cached_property
    def samples(self) -> Samples:
        """The samples table.

        Raises:
            StoreError: the file is broken or disagrees with the manifest.
        """
        file = self.path / SAMPLES
        table = _read_table(file)
        record = self.manifest.samples
        if table.num_rows != record.rows or set(table.column_names) != set(record.columns):
            raise StoreError(
                f"{file} has {table.num_rows} rows of {', '.join(table.column_names)}; the manifest"
                f" says {record.rows} of {', '.join(record.columns)}: restore it from a copy"
            )
        return samples_from_table(table)

    def targets(self) -> NDArray[np.float32]:
        """The target of each sample, (rows, d) float32, memory-mapped, of unit length.

        Raises:
            StoreError: the store has none, or the file is broken.
        """
        if self.manifest.targets is None or self.manifest.dim is None:
            raise StoreError(
                f"{self.path} has no targets (a store of test embeddings): give one made with"
                " `ensembler store create --targets` or from prompts; weights of your own blend it"
                " without a fit: `ensembler predict --spec study.toml`"
            )
        shape = (self.manifest.samples.rows, self.manifest.dim)
        return load_array(self.path / TARGETS, "float32", shape)

    def member(self, name: str) -> Member:
        """One member, its embeddings memory-mapped.

        Raises:
            StoreError: no such member, or its files are broken or disagree with the manifest.
        """
        record = next((item for item in self.manifest.members if item.name == name), None)
        if record is None:
            raise StoreError(f"{self.path}: {unknown_name('member', name, self.names)}")
        if record.dim != self.manifest.dim:
            raise StoreError(
                f"{self.path}: member {name!r} has {record.dim} numbers per row, the store"
                f" {self.manifest.dim}; remove the member and add embeddings of one space"
            )
        folder = self.path / MEMBERS / name
        rows = np.asarray(load_array(folder / "rows.npy", "int64", (record.rows,)))
        samples = self.manifest.samples.rows
        if rows[0] < 0 or rows[-1] >= samples or np.any(np.diff(rows) <= 0):
            raise StoreError(
                f"{folder / 'rows.npy'}: positions must ascend within 0..{samples - 1};"
                f" add member {name!r} again"
            )
        embeddings = load_array(folder / "embeddings.npy", record.dtype, (record.rows, record.dim))
        return Member(record=record, path=folder, rows=rows, embeddings=embeddings)

    def members(self, names: Iterable[str] | None = None) -> tuple[Member, ...]:
        """Several members, in the order asked for; all of them in the store's order by default.

        Raises:
            StoreError: as `member` does.
        """
        return tuple(self.member(name) for name in (self.names if names is None else names))


def load_array(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Memory-map one .npy file of a store, checked against the manifest.

    Args:
        path: the file.
        dtype: the NumPy name of the type it must have.
        shape: the shape it must have.

    Returns:
        A read-only memory map.

    Raises:
        StoreError: missing, truncated, of object type, or of another type or shape.
    """
    try:
        array = hold_array(path)
    except BROKEN as error:
        raise StoreError(
            f"{path} cannot be read ({error}): it is missing or truncated; add the member again"
            " or restore it from a copy"
        ) from error
    if array.dtype != np.dtype(dtype) or array.shape != shape or not array.flags.c_contiguous:
        raise StoreError(
            f"{path} is {array.dtype}{array.shape}; the manifest says {dtype}{shape} in C order:"
            " restore it from a copy"
        )
    return array


def samples_from_table(table: pa.Table) -> Samples:
    """The samples of a store's table, absent columns filled with their defaults."""
    names = table.column_names
    weight = table["weight"].to_numpy() if "weight" in names else np.ones(table.num_rows)
    free = [name for name in names if name not in COLUMNS or name == "prompt"]
    texts = {name: np.asarray(table[name].to_pylist(), dtype=object) for name in free}
    return Samples(
        id=np.asarray(table["id"].to_pylist(), dtype=np.str_),
        fold=np.asarray(table["fold"].to_numpy(), dtype=np.int64),
        group=np.asarray(table["group"].to_pylist(), dtype=np.str_),
        source=np.asarray(table["source"].to_pylist(), dtype=np.str_),
        prompt=texts.pop("prompt", None),
        weight=np.asarray(weight, dtype=np.float64),
        further=texts,
    )


def _read_table(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{path} cannot be read ({error}): it is missing or truncated; restore it from a copy"
        ) from error
