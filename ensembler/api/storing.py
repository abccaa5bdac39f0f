"""`create_store` and `add_member`: a store made from what a notebook has in memory, or in files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import InputError, StoreError
from ensembler.store import create, writer
from ensembler.store.importing.array_files import text_ids, vectors_of
from ensembler.store.importing.joining import join_by_id
from ensembler.store.importing.sources import Source
from ensembler.store.model import Dtype, Origin
from ensembler.store.reader import Store
from ensembler.store.writer import AddReport

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

UNNAMED: Final = "__index_level_0__"  # Arrow's column for the index of a filtered data frame


def create_store(
    path: str | Path,
    samples: str | Path | Mapping[str, Sequence[Any]] | pd.DataFrame | pa.Table,
    *,
    targets: str | Path | NDArray[np.floating] | None = None,
    folds: int | None = None,
    encoder: str | Path | None = None,
    keep_texts: bool = True,
) -> Store:
    """Make a store; it appears whole, or not at all.

    Args:
        path: the folder to create; it must not exist, or be empty.
        samples: a table with the column id or imgId, and any of prompt, fold, group, source and
            weight; further columns are kept as text. A data frame, a dict of columns, or a file.
        targets: (n, d) in the samples' order, or a file; None takes the prompts' embeddings, and
            makes a store for test embeddings where there are none.
        folds: how many folds to deal, by group; None deals 5 where the table has none.
        encoder: a sentence-transformers folder for the prompts; None takes MiniLM.
        keep_texts: keep the prompts in the store, and further columns.

    Returns:
        The new store.

    Raises:
        StoreError: something is there already, the samples or targets cannot be used, or `path`
            cannot be written.
        InputError: an encoder is named, but no prompts are encoded; or a number of folds, but none
            are dealt.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    options: dict[str, Any] = {
        "targets": targets, "folds": folds, "encoder": encoder, "keep_texts": keep_texts
    }  # fmt: skip
    if isinstance(samples, str | Path):
        return create.create_store(path, samples, **options)
    with TemporaryDirectory() as folder:  # so that one reader checks the tables of both doors
        file = Path(folder) / "samples.parquet"
        try:
            table = pa.table(samples)
            if UNNAMED in table.column_names:
                table = table.drop_columns([UNNAMED])
            pq.write_table(table, file)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise StoreError(
                f"samples: no table can be made of them ({error}); give a data frame, a dict of"
                " columns or a file"
            ) from error
        try:
            return create.create_store(path, file, **options)
        except (InputError, StoreError) as error:
            raise type(error)(str(error).replace(str(file), "samples")) from error


def add_member(
    store: str | Path | Store,
    name: str,
    vectors: str | Path | Sequence[str | Path] | NDArray[np.floating],
    *,
    ids: str | Path | Sequence[Any] | NDArray[Any] | pd.Series = (),
    dtype: Dtype = "float32",
    drop_unknown: bool = False,
    encoder: str | Path | None = None,
    keep_texts: bool = True,
    seconds_per_image: float | None = None,
) -> AddReport:
    """Add a member, its rows joined to the samples by id.

    Args:
        store: an opened store or its folder. An opened one goes on showing the members it had.
        name: the member's; letters, digits and . _ + -.
        vectors: (n, d) floating-point numbers, an array, a tensor or a frame; or one or several
            files of vectors or captions.
        ids: for an array, the (n,) ids of its rows, text or whole numbers; for files that hold
            none, files of ids.
        dtype: what is stored.
        drop_unknown: leave out rows whose id no sample has, instead of refusing them.
        encoder: a sentence-transformers folder for captions; None takes MiniLM.
        keep_texts: keep captions beside their vectors.
        seconds_per_image: what the member takes for an image, which budgets count.

    Returns:
        What was stored.

    Raises:
        StoreError: the name is taken or no name, ids are missing, unknown or come twice, a value is
            NaN, infinite or too large, a file cannot be used, or the store cannot be written.
    """
    folder = store.path if isinstance(store, Store) else Path(store)
    if seconds_per_image is not None and not 0.0 < seconds_per_image < math.inf:
        raise StoreError(f"{seconds_per_image!r} seconds per image: give a positive number")
    origin = Origin(seconds_per_image=seconds_per_image)
    if not hasattr(vectors, "__array__"):  # arrays, tensors and frames have it
        return writer.add_member(
            folder, name, _files(vectors), ids=_files(ids), dtype=dtype, drop_unknown=drop_unknown,
            encoder=encoder, keep_texts=keep_texts, origin=origin,
        )  # fmt: skip
    import pyarrow as pa

    source = Path(f"member {name}")
    if encoder is not None:
        raise StoreError(f"{source}: an encoder is for captions; leave it out with an array")
    if isinstance(ids, str | Path) or len(ids) == 0:
        raise StoreError(
            f"{source}: an array needs ids, one per row; rows are never matched by position"
        )
    names = text_ids(source, ids)
    rows = vectors_of(source, _plain(vectors))
    if rows.ndim != 2 or len(names) != len(rows):
        raise StoreError(
            f"{source}: {len(names)} ids for embeddings of shape {rows.shape}; give (n, d) numbers"
            " and one id per row"
        )
    samples = Store.open(folder).samples.id
    given = Source(path=source, ids=pa.array(names, pa.string()), vectors=rows)
    join = join_by_id([given], samples, drop_unknown=drop_unknown)
    record = writer.add_vectors(
        folder, name, rows, rows=join.positions, at=join.rows, dtype=dtype, captions=None,
        origin=origin,
    )  # fmt: skip
    return AddReport(member=record, samples=len(samples), unknown_dropped=join.unknown)


def _plain(vectors: Any) -> NDArray[Any]:  # noqa: ANN401 - an array, a tensor or a frame
    """As an array; what a mask hides is NaN, and so refused by its row."""
    array = np.asarray(vectors)
    return np.ma.filled(vectors, np.nan) if isinstance(vectors, np.ma.MaskedArray) else array


def _files(files: Any) -> list[str | Path]:  # noqa: ANN401 - a path, or several
    listed = list(files) if isinstance(files, Iterable) and not isinstance(files, str) else [files]
    for file in listed:
        if not isinstance(file, str | Path):
            raise StoreError(
                f"{file!r} is not a file's name; give names of files, or one array of vectors with"
                " its ids"
            )
    return listed
