"""What a file on its way into a store holds: vectors or captions, and whose they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """One file's rows; exactly one of vectors and texts is there.

    Attributes:
        path: the file.
        ids: (n,) Arrow text; None where the file has none.
        vectors: (n, d) of any float type, of an .npy file a memory map.
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
    """Refuse columns that are no component of a vector, though their numbers would pass for one."""
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
    """The first cell of a text column that is no number, as "in row n 'text'"."""
    import pyarrow as pa

    for row, text in enumerate(read_columns(path, {name: pa.string()})[name].to_pylist(), 1):
        try:
            float(text or "nan")
        except ValueError:
            return f"in row {row} {text[:40]!r}"
    return None


def attach_ids(sources: Sequence[Source], id_files: Sequence[Path]) -> list[Source]:
    """Give ids to the sources that have none.

    Args:
        sources: in the order they were given.
        id_files: none; one for all the sources joined in order; or one for each.

    Returns:
        The sources, each with as many ids as rows.

    Raises:
        StoreError: ids are missing, superfluous, or not as many as the rows.
    """
    bare = [source for source in sources if source.ids is None]
    if not id_files and bare:
        raise StoreError(
            f"{bare[0].path} holds no ids; name them with --ids FILE (one id a line, or a table"
            " with an id column)"
        )
    if id_files and len(bare) < len(sources):
        known = next(source.path for source in sources if source.ids is not None)
        raise StoreError(f"{known} holds its own ids; leave --ids out, or drop them from the file")
    if id_files and len(id_files) not in (1, len(sources)):
        raise StoreError(
            f"{len(id_files)} files of ids for {len(sources)} files: give one --ids for all of them"
            " joined in order, or one for each"
        )
    if id_files and len(id_files) < len(sources):
        return _share_ids(sources, id_files[0])
    pairs = zip(sources, id_files, strict=True) if id_files else ()
    given = [_with_ids(source, read_id_file(path), path) for source, path in pairs]
    return given or [_with_ids(source, source.ids, source.path) for source in sources]


def read_id_file(path: Path) -> pa.StringArray:
    """Read ids: a table's id column, or a text file with one id a line.

    Raises:
        StoreError: the file is missing or no text, or a line is blank.
    """
    import pyarrow as pa

    if is_table(path):
        return read_ids(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except FileNotFoundError as error:
        raise StoreError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); give a text file with one id a line, or a table"
        ) from error
    if "" in lines:
        raise StoreError(f"{path}: line {lines.index('') + 1} is blank; write one id a line")
    return pa.array(lines, pa.string())


def _share_ids(sources: Sequence[Source], path: Path) -> list[Source]:
    """Deal one file's ids to the sources in order."""
    ids = read_id_file(path)
    rows = sum(len(source) for source in sources)
    if len(ids) != rows:
        raise StoreError(f"{path} has {len(ids)} ids, the {len(sources)} files {rows} rows")
    starts = np.cumsum([0, *(len(source) for source in sources)]).tolist()
    return [
        replace(source, ids=ids.slice(start, len(source)))
        for source, start in zip(sources, starts, strict=False)
    ]


def _with_ids(source: Source, ids: pa.StringArray, named: Path) -> Source:
    if len(ids) != len(source):
        raise StoreError(
            f"{named} has {len(ids)} ids, {source.path} {len(source)} rows; give one id a row"
            " (a header line in a text file counts as an id)"
        )
    return replace(source, ids=ids)
