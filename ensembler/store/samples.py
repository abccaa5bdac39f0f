"""The samples: the table a store is made from, checked and brought into one form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError, first_few
from ensembler.files import sha256_json
from ensembler.store.importing.tables import (
    BARE,
    id_column,
    is_bare,
    is_table,
    read_columns,
    read_schema,
)
from ensembler.store.model import COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS: Final = ("prompt", "group", "source")
NUMBERS: Final = ("fold", "weight")
MANY: Final = 100  # further columns: more are the numbers of vectors, and none of them is kept
NO_FOLD: Final = -1  # a row that is in no fold


def samples_digest(table: pa.Table) -> str:
    """The sha256 of a samples table's contents: of its columns as one JSON document.

    Neither the order of columns nor anything of the Parquet file enters.
    """
    return sha256_json({name: table[name].to_pylist() for name in table.column_names})


def read_samples(path: Path) -> pa.Table:
    """Read the table that a user gives to `create`, in its order.

    Args:
        path: .csv, .tsv or .parquet with the column id, imgId or image, and any of prompt, fold,
            group, source and weight; further columns are what else is known of the samples. A
            .tsv of pairs, image, prompt and fold, may lack its header line.

    Returns:
        A table with the text column id, and of the others those that the file has: prompt, group
        and source text, fold int64, weight float64; then further ones of text, numbers or times,
        as text.

    Raises:
        StoreError: no rows, an id that is empty or comes twice, an empty group, a fold that is not
            a whole number, a weight that is negative, or a broken file.
    """
    import pyarrow as pa

    if not is_table(path):
        raise StoreError(f"{path}: samples come as .csv, .tsv or .parquet; save it as one of them")
    header = BARE if is_bare(path) else ()
    schema = read_schema(path, header=header)
    names = schema.names
    _refuse_near_names(path, names)
    key = id_column(path, names)
    types = {key: pa.string()}
    types |= {name: pa.string() for name in TEXTS if name in names}
    types |= {name: pa.float64() for name in NUMBERS if name in names}
    raw = read_columns(path, types, header=header)
    ids = raw[key].combine_chunks()
    check_ids(path, ids)
    columns: dict[str, pa.Array] = {"id": ids}
    for name in TEXTS:
        if name in names:
            columns[name] = raw[name].fill_null("").combine_chunks()
    if "group" in names:
        missing = np.asarray(columns["group"].to_pylist(), dtype=np.str_) == ""
        _refuse_rows(path, ids, missing, "has no group", "give every row one, or drop the column")
    if "fold" in names:
        columns["fold"] = pa.array(_whole_folds(path, ids, raw["fold"]))
    if "weight" in names:
        columns["weight"] = pa.array(_sound_weights(path, ids, raw["weight"]))
    return pa.table(columns | _further(path, schema, key))


def _further(path: Path, schema: pa.Schema, key: str) -> dict[str, pa.ChunkedArray]:
    """The columns that are not ours, as text; an absent value is an empty one."""
    import pyarrow as pa

    written = path.suffix.lower() != ".parquet"  # by hand: a cell is the text it is
    types = {
        field.name: pa.string() if written else field.type
        for field in schema
        if field.name not in ("", key, *COLUMNS) and (written or _is_plain(field.type))
    }
    if not types or len(types) > MANY:
        return {}
    raw = read_columns(path, types)
    return {name: raw[name].cast(pa.string()).fill_null("") for name in types}


def _is_plain(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type are texts, numbers, truths or times."""
    import pyarrow.types as of

    if of.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = (of.is_string, of.is_large_string, of.is_integer, of.is_floating, of.is_boolean)
    return any(test(kind) for test in (*tests, of.is_temporal))


def check_ids(path: Path, ids: pa.StringArray) -> None:
    """Refuse ids that cannot name rows.

    Args:
        path: the file they come from, for the message.
        ids: (rows,) Arrow text.

    Raises:
        StoreError: there are none, one is empty, or one comes twice.
    """
    names = np.asarray(ids.fill_null(""), dtype=object)
    if len(names) == 0:
        raise StoreError(f"{path} has no rows; give at least one")
    empty = np.flatnonzero(names == "")
    if len(empty):
        raise StoreError(f"{path}: row {empty[0] + 1} has an empty id; give every row its own")
    distinct, count = np.unique(names, return_counts=True)
    if len(distinct) < len(names):
        twice = distinct[count > 1]
        first, second = np.flatnonzero(names == twice[0])[:2] + 1
        what = (
            f"the id {str(twice[0])!r} comes more than once (rows"
            if len(twice) == 1
            else f"{len(twice)} ids come more than once ({first_few(twice)}; the first in rows"
        )
        raise StoreError(f"{path}: {what} {first} and {second}); keep one row for each")


def _refuse_near_names(path: Path, names: list[str]) -> None:
    """Refuse a column that is nearly one of ours: taken for an unknown one, it would be lost."""
    known = {name.lower(): name for name in ("id", "imgId", *TEXTS, *NUMBERS)}
    for name in names:
        plain = name.strip().lower()
        meant = known.get(plain) or known.get(plain.removesuffix("s"))
        if meant and name != meant:
            raise StoreError(f"{path}: no column is named {name!r}; did you mean {meant!r}?")


def _whole_folds(path: Path, ids: pa.StringArray, column: pa.ChunkedArray) -> NDArray[np.int64]:
    numbers = column.fill_null(float(NO_FOLD)).to_numpy()
    wrong = ~((numbers == np.floor(numbers)) & (numbers >= NO_FOLD) & (numbers < 2**31))
    fault = "has a fold that is not -1, 0, 1, …"
    remedy = "number the folds from 0, and write -1 or nothing where a row is in none"
    _refuse_rows(path, ids, wrong, fault, remedy)
    return np.asarray(numbers, dtype=np.int64)


def _sound_weights(path: Path, ids: pa.StringArray, column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers = np.asarray(column.fill_null(np.nan).to_numpy(), dtype=np.float64)
    wrong = ~(np.isfinite(numbers) & (numbers >= 0.0))
    fault = "has a weight that is missing, negative or infinite"
    _refuse_rows(path, ids, wrong, fault, "weights are finite, 0 or more")
    if not numbers.any():
        raise StoreError(f"{path}: every weight is 0; give at least one row a positive weight")
    return numbers


def _refuse_rows(
    path: Path, ids: pa.StringArray, wrong: NDArray[np.bool_], fault: str, remedy: str
) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
        raise StoreError(
            f"{path}: row {rows[0] + 1}, id {ids[int(rows[0])].as_py()!r}, {fault}{more}; {remedy}"
        )
