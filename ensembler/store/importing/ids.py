"""Ids for files that hold none, and rows for flattened arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ensembler.errors import StoreError, counted, first_few
from ensembler.store.importing.array_files import read_id_array
from ensembler.store.importing.sources import Source
from ensembler.store.importing.tables import is_table, read_ids

if TYPE_CHECKING:
    import pyarrow as pa

    from ensembler.store.reader import Samples


def attach_ids(
    sources: Sequence[Source], id_files: Sequence[Path], samples: Samples | None = None
) -> list[Source]:
    """Give ids to the sources that have none, and rows to those that are flat.

    Args:
        sources: in the order they were given.
        id_files: none; one for all the sources joined in order; or one for each.
        samples: what a file without ids may be the rows of, for the message.

    Returns:
        The sources, each with as many ids as rows.

    Raises:
        StoreError: ids are missing, superfluous, or not as many as the rows.
    """
    bare = [source for source in sources if source.ids is None]
    if not id_files and bare:
        raise StoreError(
            f"{bare[0].path} holds no ids; name them with --ids FILE (one id per line, an .npy file"
            f" of text, or a table with an id column){_likely_ids(bare[0], samples)}"
        )
    if id_files and len(bare) < len(sources):
        known = next(source.path for source in sources if source.ids is not None)
        raise StoreError(f"{known} holds its own ids; leave --ids out, or drop them from the file")
    if id_files and len(id_files) not in (1, len(sources)):
        raise StoreError(
            f"{len(id_files)} files of ids for {counted(len(sources), 'file')}: give one --ids for"
            " all of them joined in order, or one for each"
        )
    if id_files and len(id_files) < len(sources):
        return _share_ids(sources, id_files[0])
    pairs = zip(sources, id_files, strict=True) if id_files else ()
    given = [_with_ids(source, read_id_file(path), path) for source, path in pairs]
    return given or [_with_ids(source, source.ids, source.path) for source in sources]


def read_id_file(path: Path) -> pa.StringArray:
    """Read ids: a table's id column, an .npy file of text, or a text file with one id per line.

    Raises:
        StoreError: the file is missing or not text, or a line is blank.
    """
    import pyarrow as pa

    if is_table(path):
        return read_ids(path)
    if path.suffix.lower() == ".npy":
        return pa.array(read_id_array(path), pa.string())
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")
    except FileNotFoundError as error:
        raise StoreError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); give a text file with one id per line, an .npy file"
            " of text, or a table"
        ) from error
    if "" in lines:
        raise StoreError(f"{path}: line {lines.index('') + 1} is blank; write one id per line")
    return pa.array(lines, pa.string())


def cut_rows(sources: Sequence[Source], rows: int, owner: str) -> list[Source]:
    """Cut flattened arrays, (n·d,), back into rows of equal length.

    Args:
        sources: files of vectors.
        rows: that all of them hold together.
        owner: who says so, for the message.

    Returns:
        The sources, the vectors of each (n, d).

    Raises:
        StoreError: the numbers cannot be shared equally by so many rows.
    """
    arrays = [source.vectors for source in sources if source.vectors is not None]
    flat = [source for source in sources if _is_flat(source)]
    if not flat:
        return list(sources)
    numbers = sum(array.size for array in arrays)
    width = numbers // max(1, rows)
    for source in flat:
        if width == 0 or numbers % rows or len(source) % width:
            raise StoreError(
                f"{source.path} is flat, of {len(source)} numbers, and {owner} does not divide"
                f" {numbers} numbers into rows of one length: give one id for each row (a header"
                " line in a text file counts as an id), or save (n, d)"
            )
    return [
        replace(source, vectors=source.vectors.reshape(-1, width))
        if source.vectors is not None and _is_flat(source)
        else source
        for source in sources
    ]


def _share_ids(sources: Sequence[Source], path: Path) -> list[Source]:
    """Deal one file's ids to the sources in order."""
    ids = read_id_file(path)
    sources = cut_rows(sources, len(ids), f"{path} with {len(ids)} ids")
    rows = sum(len(source) for source in sources)
    if len(ids) != rows:
        raise StoreError(f"{path} has {len(ids)} ids, the {len(sources)} files {rows} rows")
    starts = np.cumsum([0, *(len(source) for source in sources)]).tolist()
    return [
        replace(source, ids=ids.slice(start, len(source)))
        for source, start in zip(sources, starts, strict=False)
    ]


def _with_ids(source: Source, ids: pa.StringArray, named: Path) -> Source:
    (source,) = cut_rows([source], len(ids), f"{named} with {len(ids)} ids")
    if len(ids) != len(source):
        raise StoreError(
            f"{named} has {len(ids)} ids, {source.path} {len(source)} rows; give one id per row"
            " (a header line in a text file counts as an id)"
        )
    return replace(source, ids=ids)


def _is_flat(source: Source) -> bool:
    return source.vectors is not None and source.vectors.ndim == 1


def _likely_ids(source: Source, samples: Samples | None) -> str:
    """A guess, by their number, at whose rows a file without ids holds; a clause, or nothing."""
    if samples is None or _is_flat(source):
        return ""
    if len(source) == len(samples):
        return (
            "; it has a row for each sample: if they are in the samples' order, the store's own"
            " samples.parquet is such a table"
        )
    folds, sizes = np.unique(samples.fold[samples.fold >= 0], return_counts=True)
    alike = folds[sizes == len(source)]
    if len(alike) == 0:
        return ""
    return (
        f"; it has as many rows as there are samples in fold {first_few(alike, 3)}: list the ids of"
        " its fold in the order in which the images were read"
    )
