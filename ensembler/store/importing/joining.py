"""Joining files to samples by id, and their vectors, checked, in the samples' order."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError, first_few
from ensembler.store.importing.sources import Source
from ensembler.store.importing.spelling import common_cause

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_NUMBERS: Final = 1 << 21  # numbers gathered at once; bounds memory whatever the dimension
NEAREST_AMONG: Final = 20_000  # ids looked through for the nearest spelling: more takes seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Which row of the files goes to which sample.

    Attributes:
        positions: (n,) int64 positions into the samples, ascending and unique.
        rows: (n,) int64, for each position its row, counted through all the files in order.
        unknown: rows whose id no sample has.
    """

    positions: NDArray[np.int64]
    rows: NDArray[np.int64]
    unknown: int

    def __len__(self) -> int:
        return len(self.positions)


def join_by_id(
    sources: Sequence[Source], sample_ids: NDArray[np.str_], *, drop_unknown: bool
) -> Join:
    """Join files' rows to samples.

    Args:
        sources: the files, all with ids.
        sample_ids: (samples,) text, unique.
        drop_unknown: count rows of unknown ids instead of refusing them.

    Returns:
        The join, in the samples' order.

    Raises:
        StoreError: an id is unknown, empty, or comes twice, also across files; or no row is left.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.concat_arrays([source.ids for source in sources])
    known = pa.array(sample_ids.tolist(), pa.string())
    position = pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy().astype(np.int64)
    unknown = np.flatnonzero(position < 0)
    if len(unknown) and not drop_unknown:
        raise StoreError(_unknown_ids(sources, ids, unknown, sample_ids))
    rows = np.flatnonzero(position >= 0)
    rows = rows[np.argsort(position[rows], kind="stable")]
    positions = position[rows]
    twice = np.flatnonzero(np.diff(positions) == 0)
    if len(twice):
        first, second = rows[twice[0]], rows[twice[0] + 1]
        raise StoreError(
            f"{_place(sources, first)} and {_place(sources, second)} have the same id"
            f" {str(sample_ids[positions[twice[0]]])!r}; keep one row for each id"
        )
    if len(rows) == 0:
        cause = common_cause((id_ or "" for id_ in ids.to_pylist()), sample_ids.tolist())
        raise StoreError(
            f"{sources[0].path}: none of its {len(ids)} ids is a sample's"
            f" ({first_few(map(repr, ids[:3].to_pylist()))} there,"
            f" {first_few(map(repr, sample_ids[:3].tolist()))} here){cause}; give files of its ids"
        )
    return Join(positions=positions, rows=rows, unknown=len(unknown))


def checked_blocks(
    sources: Sequence[Source],
    join: Join,
    sample_ids: NDArray[np.str_],
    dtype: np.dtype[np.floating],
    *,
    remedy: str,
) -> Iterator[NDArray[np.floating]]:
    """The joined vectors in the samples' order, a block at a time.

    Args:
        sources: the files, all with vectors of one dimension.
        join: of these files.
        sample_ids: (samples,) text.
        dtype: what the vectors become.
        remedy: what to do about a row that is not finite, for the message.

    Yields:
        (rows, d) blocks of `dtype`, C order, that hold every row of the join once.

    Raises:
        StoreError: a value is NaN or infinite, or too large for `dtype`; row and id are named.
    """
    parts = [source.vectors for source in sources if source.vectors is not None]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    dim = parts[0].shape[1]
    step = max(1, BLOCK_NUMBERS // dim)
    for start in range(0, len(join), step):
        rows = join.rows[start : start + step]
        part_of_row = np.searchsorted(starts, rows, side="right") - 1
        block = np.empty((len(rows), dim), dtype=dtype)
        for part in np.unique(part_of_row):
            mine = part_of_row == part
            with np.errstate(over="ignore", under="ignore"):
                block[mine] = parts[part][rows[mine] - starts[part]]
        broken = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(broken):
            row, sample = rows[broken[0]], join.positions[start + broken[0]]
            part = part_of_row[broken[0]]
            sound = np.isfinite(parts[part][row - starts[part]]).all()
            raise StoreError(
                f"{_place(sources, row)}, id {str(sample_ids[sample])!r}, holds"
                + (
                    f" a number too large for {dtype.name}: scale the vectors down or store float32"
                    if sound
                    else f" NaN or infinity: {remedy}"
                )
            )
        yield block


def common_dim(sources: Sequence[Source], expected: int | None, owner: str) -> int:
    """The dimension that files share with each other and with a store.

    Args:
        sources: the files, all with vectors.
        expected: the dimension they must have; None where they decide.
        owner: who expects it, for the message.

    Returns:
        The dimension.

    Raises:
        StoreError: a file differs.
    """
    for source in sources:
        dim = 0 if source.vectors is None else source.vectors.shape[1]
        if expected is None:
            expected, owner = dim, str(source.path)
        if dim != expected:
            raise StoreError(
                f"{source.path} holds vectors of {dim} numbers{_span(source)}, {owner} of"
                f" {expected}; give embeddings of one space"
            )
    assert expected is not None  # noqa: S101 - there is at least one source
    return expected


def _span(source: Source) -> str:
    """From which column of a table to which its numbers run: one too many is often an index."""
    if not source.columns:
        return ""
    return f" (columns {source.columns[0]!r} to {source.columns[-1]!r})"


def _place(sources: Sequence[Source], row: int) -> str:
    """A row that was counted through all the files, as "file: row n" counted within its file."""
    for source in sources:
        if row < len(source):
            return f"{source.path}: row {row + 1}"
        row -= len(source)
    raise AssertionError("a row beyond the files")


def _unknown_ids(
    sources: Sequence[Source],
    ids: pa.StringArray,
    unknown: NDArray[np.int64],
    sample_ids: NDArray[np.str_],
) -> str:
    import pyarrow as pa

    first = ids[int(unknown[0])].as_py()
    strangers = (id_ or "" for id_ in ids.take(pa.array(unknown)).to_pylist())
    cause = common_cause(strangers, sample_ids.tolist())
    close = difflib.get_close_matches(first or "", sample_ids[:NEAREST_AMONG].tolist(), n=1)
    nearest = f", nearest sample {close[0]!r}" if close else ""
    return (
        f"{_place(sources, unknown[0])}, id {first!r}: no sample has this id{nearest};"
        f" {len(unknown)} of {len(ids)} ids are unknown{cause}: correct them, or leave them out"
        " with --drop-unknown"
    )
