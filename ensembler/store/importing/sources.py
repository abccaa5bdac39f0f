"""The contents of a file on its way into a store: vectors or captions, and their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError, first_few
from ensembler.store.importing import array_files
from ensembler.store.importing.long_layout import HEADER, read_long
from ensembler.store.importing.tables import (
    SUFFIXES,
    id_column,
    is_table,
    read_columns,
    read_ids,
    read_schema,
)
from ensembler.store.importing.vector_tables import read_numbers

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMNS: Final = ("caption", "text", "prompt")
# What other tables have beside ids: an index that pandas wrote, and the columns of samples.
NO_COMPONENTS: Final = re.compile(
    r"|index|unnamed: \d+|__index_level_\d+__|fold|group|source|weight|target", re.IGNORECASE
)
_ARRAYS: Final = {
    ".npy": array_files.read_npy,
    ".npz": array_files.read_npz,
    ".pt": array_files.read_pt,
    ".pth": array_files.read_pt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The rows of one file; exactly one of vectors and texts is there.

    Attributes:
        path: the file.
        ids: (n,) Arrow text; None where the file has none.
        vectors: (n, d) of any float type, of an .npy file a memory map; (n·d,) where the file is
            flat and not yet cut into rows by ids.
        texts: (n,) Arrow text to be encoded.
        columns: of a table with one column for each component, their names.
    """

    path: Path
    ids: pa.StringArray | None
    vectors: NDArray[np.floating] | None = None
    texts: pa.StringArray | None = None
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        rows = self.texts if self.vectors is None else self.vectors
        return 0 if rows is None else len(rows)


def read_source(path: Path) -> Source:
    """Read one file of embeddings or captions.

    Args:
        path: .npy, .npz, .pt, .parquet (ids and lists or numbers), wide CSV or TSV (ids and
            numbers), captions (ids and one text column), or CSV in the competition's long layout.

    Returns:
        Its rows, in the file's order.

    Raises:
        StoreError: none of these, or broken.
    """
    import pyarrow as pa

    suffix = path.suffix.lower()
    if suffix in _ARRAYS:
        ids, vectors = _ARRAYS[suffix](path)
        return Source(
            path=path, ids=None if ids is None else pa.array(ids, pa.string()), vectors=vectors
        )
    if not is_table(path):
        raise StoreError(
            f"{path}: files ending in {suffix or 'nothing'} are not known; give one of"
            f" {', '.join([*_ARRAYS, *SUFFIXES])}"
        )
    schema = read_schema(path)
    if tuple(schema.names) == HEADER:
        long = read_long(path)
        return Source(path=path, ids=pa.array(long.ids.tolist(), pa.string()), vectors=long.vectors)
    key = id_column(path, schema.names)
    values = [name for name in schema.names if name != key]
    texts = [name for name in values if name in TEXT_COLUMNS]
    if not texts:
        _refuse_foreign_columns(path, schema, values)
        return Source(
            path=path,
            ids=read_ids(path),
            vectors=read_numbers(path, schema, values),
            columns=tuple(values) if len(values) > 1 else (),
        )
    if len(values) > 1:
        raise StoreError(
            f"{path} has the columns {first_few(schema.names)}; captions are an id and one text"
            " column: drop the others"
        )
    table = read_columns(path, {key: pa.string(), texts[0]: pa.string()})
    return Source(
        path=path, ids=table[key].combine_chunks(), texts=table[texts[0]].combine_chunks()
    )


def _refuse_foreign_columns(path: Path, schema: pa.Schema, values: Sequence[str]) -> None:
    """Refuse columns that are not components, though their numbers would pass for some."""
    import pyarrow as pa

    types = {name: schema.field(name).type for name in values}
    foreign = [
        name
        for name, kind in types.items()
        if NO_COMPONENTS.fullmatch(name) and not pa.types.is_nested(kind)
    ]
    if foreign and len(values) > 1:
        raise StoreError(
            f"{path}: beside the vectors there are the columns {first_few(map(repr, foreign))};"
            " drop them (pandas leaves an index out with index=False)"
        )
    for name, kind in types.items():
        fault = _text_cell(path, name) if pa.types.is_string(kind) else None
        if fault is not None:
            raise StoreError(
                f"{path}: column {name!r} holds text, {fault}; drop or correct it (captions need a"
                f" column {', '.join(TEXT_COLUMNS[:-1])} or {TEXT_COLUMNS[-1]})"
            )


def _text_cell(path: Path, name: str) -> str | None:
    """The first cell of a text column that is not a number, as "in row n 'text'"."""
    import pyarrow as pa

    for row, text in enumerate(read_columns(path, {name: pa.string()})[name].to_pylist(), 1):
        try:
            float(text or "nan")
        except ValueError:
            return f"in row {row} {text[:40]!r}"
    return None
