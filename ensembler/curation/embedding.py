"""Embedding of prompts: a vector for every row of a pair table, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.embedding_folder import COMPLETE, Complete, shard_files
from ensembler.curation.pairs import digest_pairs, read_pairs
from ensembler.curation.resuming import map_if_whole, resumed_work
from ensembler.files import atomic_write, canonical_json
from ensembler.store.encoder import Progress, encoder_record, load_encoder

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_ROWS: Final = 1 << 12  # what an interruption loses: a minute of work or so


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The result of embedding a table of prompts.

    Attributes:
        rows: number of rows.
        dim: dimension of the vectors.
        shards: number of files of vectors.
        resumed: number of rows that an earlier run had embedded.
        encoder: name of the encoder.
    """

    rows: int
    dim: int
    shards: int
    resumed: int
    encoder: str


def embed(
    prompts: Path,
    out: Path,
    *,
    encoder: str | Path | None = None,
    shard_rows: int = SHARD_ROWS,
    progress: Progress | None = None,
) -> Embedded:
    """Embed the prompts of a pair table into a folder; resume an earlier run.

    A shard's bytes depend on its own prompts alone: a resumed run leaves the same bytes as an
    uninterrupted one. Where all shards exist no encoder is loaded.

    Args:
        prompts: a pair table; see `read_pairs`.
        out: the folder to make, or that of an earlier run of the same prompts.
        encoder: a sentence-transformers folder; None takes the installed encoder.
        shard_rows: rows in every shard but the last.
        progress: called with rows done and in all.

    Raises:
        InputError: the table cannot be used, `out` is of other prompts, another encoder or other
            shards (both are shown), another run is using it, or it cannot be written.
        StoreError: the encoder cannot be loaded, or the table is broken.
    """
    digest, rows = digest_pairs(prompts)
    record, load = encoder_record(encoder), cache(partial(load_encoder, encoder))
    recipe = {"prompts": digest, "encoder": record.sha256, "rows to a shard": shard_rows}
    sizes = [min(shard_rows, rows - start) for start in range(0, rows, shard_rows)]
    if any(_width(out, number, size) is None for number, size in enumerate(sizes)):
        load()  # fails before a folder is made
    resumed = done = dim = 0
    with resumed_work(out, recipe):
        for number, pairs in enumerate(read_pairs(prompts, shard_rows)):
            width = _width(out, number, len(pairs))
            if width is None:
                by_rows = progress and partial(_advance, progress, done, len(pairs), rows)
                vectors = load().encode(pairs["prompt"].to_pylist(), by_rows)
                _write_shard(out, number, pairs["image"], vectors)
                width = vectors.shape[1]
            else:
                resumed += len(pairs)
            dim, done = width, done + len(pairs)
        if progress is not None:
            progress(done, rows)
        complete = Complete(rows=rows, dim=dim, shards=len(sizes), encoder=record)
        with atomic_write(out / COMPLETE) as file:
            file.write(canonical_json(complete.model_dump(mode="json")))
    return Embedded(rows=rows, dim=dim, shards=len(sizes), resumed=resumed, encoder=record.name)


def _advance(
    progress: Progress, before: int, pairs: int, rows: int, encoded: int, distinct: int
) -> None:
    """Report progress in rows, given a shard's progress in distinct prompts."""
    progress(before + pairs * encoded // distinct, rows)


def _width(out: Path, number: int, rows: int) -> int | None:
    """The dimension of an existing shard's vectors; None where it has to be made."""
    vectors_file, ids_file = shard_files(out, number)
    if not ids_file.exists():
        return None
    vectors = map_if_whole(vectors_file)
    if vectors is None or vectors.ndim != 2 or len(vectors) != rows:
        return None
    return int(vectors.shape[1])


def _write_shard(
    out: Path, number: int, ids: pa.ChunkedArray, vectors: NDArray[np.float32]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors_file, ids_file = shard_files(out, number)
    with atomic_write(vectors_file) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(vectors, "<f4"), allow_pickle=False)
    with atomic_write(ids_file) as file:
        pq.write_table(pa.table({"id": ids}), file)
