"""The competition's long layout, `imgId_eId,val`: one line for each component of each vector.

The key is `<imgId>_<k>`, k counting from 0 after the last underscore: an id may hold underscores.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.store.importing.tables import check_utf8

if TYPE_CHECKING:
    import pyarrow as pa

HEADER: Final = ("imgId_eId", "val")


class LongVectors(NamedTuple):
    """The contents of a file in the long layout."""

    ids: NDArray[np.str_]  # (n,) in order of first appearance
    vectors: NDArray[np.float32]  # (n, d)


def split_keys(keys: pa.StringArray) -> tuple[pa.StringArray, pa.Int32Array]:
    """Split each key at its last underscore.

    Args:
        keys: (rows,) Arrow text, `<imgId>_<k>`.

    Returns:
        The ids, (rows,) text, and the components, (rows,) int32.

    Raises:
        ValueError: a key is not of that form; the message names the first such key.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.split_pattern(keys, "_", max_splits=1, reverse=True)
    whole = pc.fill_null(pc.equal(pc.list_value_length(parts), 2), fill_value=False)
    if pc.all(whole).as_py() is not False:
        ids, components = pc.list_element(parts, 0), pc.list_element(parts, 1)
        whole = pc.and_(pc.ascii_is_decimal(components), pc.not_equal(ids, ""))
        if pc.all(whole).as_py() is not False:
            try:
                return ids, components.cast(pa.int32())
            except pa.ArrowInvalid as error:
                raise ValueError(f"a key's component is too large: {error}") from error
    key = keys[pc.index(whole, value=False).as_py()].as_py()
    raise ValueError(f"the key {key!r} is not an id, an underscore and a number, as in 'a1b2_0'")


def read_long(path: Path) -> LongVectors:
    """Read a file in the long layout, whatever the order of its lines.

    The file is streamed: 12 bytes are held for each line, and no Python text.

    Args:
        path: a CSV file with the columns `imgId_eId` and `val`.

    Returns:
        The ids in order of first appearance, and their vectors; NaN stays NaN.

    Raises:
        StoreError: a key or a value is malformed, a component is missing or comes twice.
    """
    import pyarrow as pa
    import pyarrow.csv

    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(HEADER),
        column_types={HEADER[0]: pa.string(), HEADER[1]: pa.float32()},
    )
    row_of_id: dict[str, int] = {}
    rows: list[NDArray[np.int64]] = []
    components: list[NDArray[np.int32]] = []
    values: list[NDArray[np.float32]] = []
    try:
        with pyarrow.csv.open_csv(path, convert_options=convert) as batches:
            for batch in batches:
                ids, component = split_keys(batch.column(0))
                coded = ids.dictionary_encode()
                table = [
                    row_of_id.setdefault(id_, len(row_of_id))
                    for id_ in coded.dictionary.to_pylist()
                ]
                rows.append(np.asarray(table, dtype=np.int64)[coded.indices.to_numpy()])
                components.append(component.to_numpy())
                values.append(batch.column(1).to_numpy(zero_copy_only=False))
    except (OSError, ValueError, pa.ArrowException) as error:
        check_utf8(path)
        raise StoreError(f"{path}: {error}; expected lines of {','.join(HEADER)}") from error
    if not row_of_id:
        raise StoreError(f"{path} has a header but no lines: expected {','.join(HEADER)} below it")
    ids = np.asarray(list(row_of_id), dtype=np.str_)
    cells = np.concatenate(rows), np.concatenate(components)
    return LongVectors(ids, _place(path, ids, *cells, np.concatenate(values)))


def _place(
    path: Path,
    ids: NDArray[np.str_],
    rows: NDArray[np.int64],
    components: NDArray[np.int32],
    values: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Put each value into its cell of (n, d), which every cell must get exactly once."""
    dim = int(components.max()) + 1
    # Counted before anything of size n·d is made: one wild key must not ask for terabytes.
    if len(values) == len(ids) * dim:
        vectors = np.zeros((len(ids), dim), dtype=np.float32)
        filled = np.zeros((len(ids), dim), dtype=np.bool_)
        vectors[rows, components] = values
        filled[rows, components] = True
        if filled.all():
            return vectors
    raise StoreError(f"{path}: {_uneven_cell(ids, dim, rows, components)}")


def _uneven_cell(
    ids: NDArray[np.str_], dim: int, rows: NDArray[np.int64], components: NDArray[np.int32]
) -> str:
    """The first component that comes twice, else the first that is missing, as a sentence."""
    cells = np.sort(rows * dim + components)
    twice = cells[1:][np.diff(cells) == 0]
    if len(twice):
        row, component = divmod(int(twice[0]), dim)
        return f"the key {f'{ids[row]}_{component}'!r} comes twice; keep one of the lines"
    gap = int(np.flatnonzero(np.append(cells, len(ids) * dim) != np.arange(len(cells) + 1))[0])
    row, component = divmod(gap, dim)
    return (
        f"the key {f'{ids[row]}_{component}'!r} is missing: other ids go up to component {dim - 1};"
        " write all components of each id"
    )
