"""Reading tables that people wrote: CSV, TSV and Parquet, with ids that always stay text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ensembler.errors import StoreError, first_few
from ensembler.store.importing.misfits import first_misfit

if TYPE_CHECKING:
    import pyarrow as pa

ID_COLUMNS: Final = ("id", "imgId")
IMAGE: Final = "image"  # as pair tables call it; taken where neither of those is there
SUFFIXES: Final = (".csv", ".tsv", ".parquet")
BARE: Final = ("image", "prompt", "fold")  # the columns of a .tsv of pairs without a header line
WHOLE: Final = re.compile(r"-?\d+")
# What others call the column of ids; only ever offered, never taken for it.
ID_LIKE: Final = re.compile(
    r"(?:(?:img|image|file|sample|row)[ _-]?)?(?:ids?|names?|keys?)|img|image|file|uu?id",
    re.IGNORECASE,
)
FOREIGN_SEPARATORS: Final = {";": ";", "\t": "tabs", ",": "commas", "|": "|"}  # and their names
CSV_BLOCK: Final = 1 << 24  # bytes parsed at once; a single line must fit: 1e6 numbers do


def is_table(path: Path) -> bool:
    """Whether the file's name says CSV, TSV or Parquet."""
    return path.suffix.lower() in SUFFIXES


def is_bare(path: Path) -> bool:
    """Whether a file is a .tsv without a header line: its first line is a pair, as in BARE."""
    if path.suffix.lower() != ".tsv":
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            cells = file.readline().rstrip("\n").split("\t")
    except (OSError, UnicodeDecodeError):
        return False  # whoever reads the table says what is wrong
    return len(cells) == len(BARE) and WHOLE.fullmatch(cells[-1]) is not None


def check_utf8(path: Path) -> None:
    """Refuse text in another encoding; a reader's own message would blame one cell for it.

    Raises:
        StoreError: the file holds bytes that are not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for _ in lines:
                pass
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not text in UTF-8; save it as UTF-8") from error
    except OSError:
        return  # whoever reads the file says what is wrong


def read_schema(path: Path, *, header: Sequence[str] = ()) -> pa.Schema:
    """The columns of a table, their types as Parquet states them or as a CSV file's start suggests.

    Args:
        path: .csv, .tsv or .parquet.
        header: names for all columns of text that has no header line; none where it has.

    Raises:
        StoreError: the file is missing, empty, broken, or names a column twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            schema = pq.read_schema(path)
        else:
            with _open_csv(path, {}, header) as batches:
                schema = batches.schema
        names = schema.names  # decoded only here: a name may not be UTF-8
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StoreError(f"{path} names the column {twice[0]!r} twice; rename or drop one")
    return schema


def id_column(path: Path, names: Sequence[str]) -> str:
    """The name of the column that holds the ids: id, imgId, or else image.

    Raises:
        StoreError: none of them does, or both spellings are there.
    """
    present = [name for name in ID_COLUMNS if name in names]
    if len(present) == 1:
        return present[0]
    if present:
        raise StoreError(f"{path} has both an id and an imgId column; keep one")
    if IMAGE in names:
        return IMAGE
    for mark, name in FOREIGN_SEPARATORS.items():
        if len(names) == 1 and mark in names[0]:
            raise StoreError(
                f"{path} has one column, {names[0]!r}: is it separated by {name}? Separate it by"
                f" {'tabs' if path.suffix.lower() == '.tsv' else 'commas'}"
            )
    likely = next((name for name in names if ID_LIKE.fullmatch(name.strip())), None)
    raise StoreError(
        f"{path} has no id column: its columns are {first_few(names)};"
        f" name one {' or '.join(ID_COLUMNS)}"
        f" ({f'{likely!r} perhaps' if likely else 'is the header line missing'}?)"
    )


def read_columns(
    path: Path, types: Mapping[str, pa.DataType], *, header: Sequence[str] = ()
) -> pa.Table:
    """Read some columns of a table.

    CSV follows RFC 4180 (quotes, line breaks inside them). In TSV a quote is a character like any
    other. Text cells stay as they are written; an empty number is null.

    Args:
        path: .csv, .tsv or .parquet.
        types: the columns to read and the Arrow type each becomes.
        header: as for `read_schema`.

    Returns:
        A table of just these columns, in the order of `types`.

    Raises:
        StoreError: a column is missing, a cell does not fit its type, or the file is broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path, columns=list(types)).select(list(types))
            return pa.table({name: _cast(table[name], kind) for name, kind in types.items()})
        with _open_csv(path, types, header) as batches:
            return batches.read_all()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error, _misfit(path, types, header)) from error


def stream_columns(
    path: Path, types: Mapping[str, pa.DataType], *, header: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Read some columns of a table of any length, a batch at a time.

    Args:
        path: .csv, .tsv or .parquet.
        types: as for `read_columns`.
        header: as for `read_schema`.

    Yields:
        Batches of just these columns, in the order of `types`, of whatever size the file suggests.

    Raises:
        StoreError: as `read_columns`; batches before the fault were yielded.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=list(types)):
                    columns = {name: _cast(batch[name], kind) for name, kind in types.items()}
                    yield pa.RecordBatch.from_pydict(columns)
        else:
            with _open_csv(path, types, header) as batches:
                yield from batches
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error, _misfit(path, types, header)) from error


def read_ids(path: Path) -> pa.Array:
    """The ids of a table's rows, in the file's order, as text.

    Raises:
        StoreError: as `read_columns`, or there is no id column.
    """
    import pyarrow as pa

    name = id_column(path, read_schema(path).names)
    return read_columns(path, {name: pa.string()})[name].combine_chunks()


def _open_csv(path: Path, types: Mapping[str, pa.DataType], header: Sequence[str] = ()) -> Any:  # noqa: ANN401 - pyarrow is untyped
    import pyarrow.csv

    tabs = path.suffix.lower() == ".tsv"
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK, column_names=header or None),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="\t" if tabs else ",",
            quote_char=False if tabs else '"',
            newlines_in_values=not tabs,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(types), column_types=dict(types)
        ),
    )


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """One Parquet column as another type; a number that only looks like an id is refused."""
    import pyarrow as pa

    if pa.types.is_string(kind) and pa.types.is_floating(column.type):
        raise ValueError("a text column holds floating-point numbers; write it as text")
    return column.cast(kind)


def _misfit(path: Path, types: Mapping[str, pa.DataType], header: Sequence[str] = ()) -> str | None:
    """The cell of a text file, read again, that is not a number; None if that is not the fault."""
    import pyarrow as pa

    numbers = {name: kind for name, kind in types.items() if not pa.types.is_string(kind)}
    if path.suffix.lower() == ".parquet" or not numbers:
        return None
    try:
        with _open_csv(path, dict.fromkeys(numbers, pa.string()), header) as batches:
            return first_misfit(batches, numbers)
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None  # the file is broken before any such cell


def _unreadable(path: Path, error: Exception, what: str | None = None) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return StoreError(f"there is no file {path}")
    if path.suffix.lower() != ".parquet":
        check_utf8(path)
    if what is not None:
        return StoreError(f"{path}: {what}")
    return StoreError(
        f"{path} cannot be read as a table: {error}; check the file or write it again"
    )
