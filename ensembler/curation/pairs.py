"""Pair tables, of images and their prompts, read and written a block at a time.

image   text: the image's id, or its path below the folder of images; `id` and `imgId` are read too
prompt  text, never empty
source  text, optional: where the pair came from
fold    whole number, optional; -1 stands for none

A .tsv may lack its header line: if the first line has three cells and the third is a whole number,
it is a pair of the form image, prompt, fold. Other columns are left alone. TSV is read and written
without quoting, so a prompt in it holds neither tab nor line break.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from ensembler.errors import InputError, unknown_name
from ensembler.files import atomic_write, writable_file
from ensembler.store.importing.tables import (
    BARE,
    ID_COLUMNS,
    SUFFIXES,
    is_bare,
    is_table,
    read_schema,
    stream_columns,
)
from ensembler.store.samples import NO_FOLD

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: Final = ("image", "prompt", "source", "fold")
NAMED_IMAGE: Final = ("image", *ID_COLUMNS)
BREAKS: Final = re.compile(r"[\t\r\n]")  # what TSV without quoting cannot hold
ROWS: Final = 1 << 16  # of a block; bounds memory


class PairWriter(Protocol):
    """A writer of blocks of pairs."""

    def write(self, pairs: pa.Table) -> None:
        """Append a block that has the columns of the file."""


def pair_columns(path: Path) -> tuple[str, ...]:
    """The columns among COLUMNS that a pair table has, in that order.

    Raises:
        InputError: it is not a table, or has no image or prompt column; the nearest one is offered.
        StoreError: the file is missing, empty, broken, or names a column twice.
    """
    return tuple(_layout(path))


def read_pairs(path: Path, rows: int = ROWS) -> Iterator[pa.Table]:
    """Read a pair table, a block at a time, in its order.

    Args:
        path: .csv, .tsv or .parquet.
        rows: of every block but the last.

    Yields:
        Tables with those columns that `pair_columns` tells: fold int64, the others text.

    Raises:
        InputError: as `pair_columns`; a row has no image or a blank prompt; there are no rows.
        StoreError: as `pair_columns`, or a cell does not fit its column.
    """
    import pyarrow as pa

    held, start = None, 0
    for table in stream_named(path, _layout(path)):
        held = table if held is None else pa.concat_tables([held, table])
        while held.num_rows >= rows:
            yield _checked(path, held.slice(0, rows).combine_chunks(), start)
            held, start = held.slice(rows), start + rows
    if held is not None and held.num_rows:
        yield _checked(path, held.combine_chunks(), start)
    elif not start:
        raise InputError(f"{path} has no pairs: there is no row below its header")


def table_names(path: Path) -> list[str]:
    """The columns of a table, even of a .tsv without a header line.

    Raises:
        StoreError: the file is missing, empty, broken, or names a column twice.
    """
    return list(BARE) if is_bare(path) else read_schema(path).names


def stream_named(path: Path, columns: Mapping[str, str]) -> Iterator[pa.Table]:
    """Read some columns of a table under our names, in blocks of whatever size the file suggests.

    Args:
        path: .csv, .tsv or .parquet.
        columns: our name → the table's.

    Yields:
        Tables with our names: fold int64, the others text; what is missing is null.

    Raises:
        StoreError: a cell does not fit its column, or the file is broken.
    """
    import pyarrow as pa

    types = {name: pa.int64() if ours == "fold" else pa.string() for ours, name in columns.items()}
    for batch in stream_columns(path, types, header=BARE if is_bare(path) else ()):
        yield pa.Table.from_batches([batch]).rename_columns(list(columns))


def digest_pairs(path: Path) -> tuple[str, int]:
    """Digest the contents of a pair table, whatever its file format.

    Returns:
        The sha256 of its rows in their order, and their number.

    Raises:
        InputError, StoreError: as `read_pairs`.
    """
    digest, rows = hashlib.sha256(), 0
    for pairs in read_pairs(path):
        cells = (pairs[name].to_pylist() for name in pairs.column_names)
        for row in zip(*cells, strict=True):
            digest.update(json.dumps(row).encode())
        rows += len(pairs)
    return digest.hexdigest(), rows


def writable_pairs(path: Path) -> Path:
    """Check that a pair table can be written, before the work that makes it.

    Raises:
        InputError: it is not a .csv, .tsv or .parquet, it is a folder, or its folder is missing.
    """
    if not is_table(path):
        raise InputError(f"{path}: pairs are written as one of {', '.join(SUFFIXES)}; name one")
    return writable_file(path)


@contextmanager
def write_pairs(path: Path, columns: Sequence[str]) -> Iterator[PairWriter]:
    """Write a pair table, which appears as a whole when the block ends.

    Args:
        path: .csv, .tsv or .parquet, to create or replace.
        columns: those of COLUMNS that it shall have.

    Raises:
        InputError: the file cannot be written, or a cell cannot stand in a .tsv.
    """
    writable_pairs(path)
    try:
        with atomic_write(path) as file:
            if path.suffix.lower() == ".parquet":
                import pyarrow.parquet as pq

                with pq.ParquetWriter(file, _schema(columns)) as writer:
                    yield writer
            else:
                with _text(path, file, columns) as text:
                    yield text
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror or error}); make room there, or name"
            " another file"
        ) from error


class _TextWriter:
    """A writer of CSV, or of TSV without quoting."""

    def __init__(self, path: Path, text: io.TextIOBase, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        self._tabs = path.suffix.lower() == ".tsv"
        # Every text is quoted in CSV: where quotes are spared, a lone carriage return gets none.
        options: dict[str, Any] = {"quoting": csv.QUOTE_NONNUMERIC}
        if self._tabs:
            options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None}
        self._csv = csv.writer(text, lineterminator="\n", **options)
        self._csv.writerow(columns)

    def write(self, pairs: pa.Table) -> None:
        """See `PairWriter`."""
        cells = [pairs[name].to_pylist() for name in self._columns]
        for row in zip(*cells, strict=True):
            if self._tabs and any(isinstance(cell, str) and BREAKS.search(cell) for cell in row):
                raise InputError(
                    f"{self._path}: image {row[0]!r} has a cell with a tab or a line break, which"
                    " a .tsv cannot hold; write a .csv or .parquet"
                )
            self._csv.writerow(row)


@contextmanager
def _text(path: Path, file: BinaryIO, columns: Sequence[str]) -> Iterator[_TextWriter]:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield _TextWriter(path, text, columns)
    text.flush()
    text.detach()  # the file is closed by who opened it


def _schema(columns: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema({name: pa.int64() if name == "fold" else pa.string() for name in columns})


def _layout(path: Path) -> Mapping[str, str]:
    """Map our names of the existing columns to the file's."""
    if not is_table(path):
        raise InputError(f"{path} is not a table of pairs; give one of {', '.join(SUFFIXES)}")
    names = table_names(path)
    images = [name for name in NAMED_IMAGE if name in names]
    if len(images) > 1:
        raise InputError(f"{path} has the columns {' and '.join(images)}; keep one as image")
    for column, found in (("image", images), ("prompt", "prompt" in names)):
        if not found:
            raise InputError(
                f"{path}: {unknown_name('column', column, names)}; pairs have the columns image and"
                " prompt, and perhaps source and fold"
            )
    return {"image": images[0]} | {name: name for name in COLUMNS[1:] if name in names}


def _checked(path: Path, pairs: pa.Table, start: int) -> pa.Table:
    """Check that every row has an image and a prompt; fill in source "" and fold -1."""
    import pyarrow.compute as pc

    for position, name in enumerate(pairs.column_names):
        filled = pairs[name].fill_null(NO_FOLD if name == "fold" else "")
        pairs = pairs.set_column(position, name, filled)
    for name in ("image", "prompt"):
        blank = pc.index(pc.utf8_trim_whitespace(pairs[name]), "").as_py()
        if blank >= 0:
            whose = f" (image {pairs['image'][blank].as_py()!r})" if name == "prompt" else ""
            raise InputError(
                f"{path}: row {start + blank + 1}{whose} has no {name}; give it one, or remove"
                " the row"
            )
    return pairs
