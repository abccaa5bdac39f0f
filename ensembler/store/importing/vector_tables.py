"""Reading embeddings from tables: a list in each row, or one column for each component."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.store.importing.tables import read_columns

if TYPE_CHECKING:
    import pyarrow as pa


def read_numbers(path: Path, schema: pa.Schema, names: Sequence[str]) -> NDArray[np.floating]:
    """Read the vectors of a table.

    Args:
        path: .csv, .tsv or .parquet.
        schema: its columns.
        names: those that hold the vectors: one of lists (Parquet), or one for each component, in
            the order of the components.

    Returns:
        (n, d): of lists the type they have, of columns float64 where Parquet holds that, else
        float32. An empty cell is NaN.

    Raises:
        StoreError: no columns, a cell that is not a number, or lists that differ in length.
    """
    import pyarrow as pa

    if not names:
        raise StoreError(f"{path} has an id column and nothing else; add the embeddings' columns")
    kinds = [schema.field(name).type for name in names]
    if len(kinds) == 1 and _is_list(kinds[0]):
        return _read_lists(path, names[0], kinds[0])
    # Text is parsed to what is stored at most: float32 halves the memory, and a number too large
    # for it becomes infinite, which is refused later with its row and id.
    wide = path.suffix.lower() == ".parquet" and pa.float64() in kinds
    table = read_columns(path, dict.fromkeys(names, pa.float64() if wide else pa.float32()))
    vectors = np.empty((table.num_rows, len(names)), dtype=np.float64 if wide else np.float32)
    for position, name in enumerate(names):
        vectors[:, position] = table[name].to_numpy()
    return vectors


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _read_lists(path: Path, name: str, kind: pa.DataType) -> NDArray[np.floating]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(kind.value_type):
        raise StoreError(
            f"{path}: column {name!r} holds {kind}; save lists of float16, float32 or float64"
        )
    column = read_columns(path, {name: kind})[name]
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy()
    if len(lengths) == 0:
        raise StoreError(f"{path} has no rows; give at least one")
    odd = np.flatnonzero((lengths != lengths[0]) | (lengths < 1))
    if len(odd):
        length = lengths[odd[0]]
        raise StoreError(
            f"{path}: column {name!r}, row {odd[0] + 1}, holds"
            f" {'nothing' if length < 1 else f'{length} numbers, the first row {lengths[0]}'};"
            " save vectors of one length"
        )
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(flat).reshape(len(lengths), lengths[0])
