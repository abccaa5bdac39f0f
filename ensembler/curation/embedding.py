"""Prompts to targets: every prompt of a pair table becomes a vector, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.embedding_folder import COMPLETE, Complete, shard_files
from ensembler.curation.pairs import digest_pairs, read_pairs
from ensembler.curation.resuming import left_array, resumed_work
from ensembler.files import atomic_write, canonical_json
from ensembler.store.encoder import Progress, load_encoder

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_ROWS: Final = 1 << 12  # what an interruption loses: a minute of work or so


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What became of a table of prompts.

    Attributes:
        rows: how many there are.
        dim: numbers in each vector.
        shards: how many files they are in.
        resumed: rows that were there before this run.
        encoder: the name of what embedded them.
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
    """Embed the prompts of a pair table into a folder; go on where an earlier run stopped.

    A shard's bytes depend on its own prompts alone, so that a resumed run leaves those of an
    uninterrupted one.

    Args:
        prompts: a pair table; see `read_pairs`.
        out: the folder to make, or one that an earlier run of the same began.
        encoder: a sentence-transformers folder; None takes the one that is installed.
        shard_rows: rows in every shard but the last.
        progress: called with rows done and in all.

    Raises:
        InputError: the table cannot be used, `out` is of other prompts, another encoder or other
            shards (both are shown), another run is at work in it, or it cannot be written.
        StoreError: the encoder cannot be loaded, or the table is broken.
    """
    digest, rows = digest_pairs(prompts)
    loaded = load_encoder(encoder)
    recipe = {"prompts": digest, "encoder": loaded.record.sha256, "rows to a shard": shard_rows}
    shards = -(-rows // shard_rows)
    resumed = done = dim = 0
    with resumed_work(out, recipe):
        for number, pairs in enumerate(read_pairs(prompts, shard_rows)):
            width = _width(out, number, len(pairs))
            if width is None:
                told = progress and partial(_tell, progress, done, len(pairs), rows)
                vectors = loaded.encode(pairs["prompt"].to_pylist(), told)
                _write_shard(out, number, pairs["image"], vectors)
                width = vectors.shape[1]
            else:
                resumed += len(pairs)
            dim, done = width, done + len(pairs)
        if progress is not None:
            progress(done, rows)
        complete = Complete(rows=rows, dim=dim, shards=shards, encoder=loaded.record)
        with atomic_write(out / COMPLETE) as file:
            file.write(canonical_json(complete.model_dump(mode="json")))
    name = loaded.record.name
    return Embedded(rows=rows, dim=dim, shards=shards, resumed=resumed, encoder=name)


def _tell(
    progress: Progress, before: int, pairs: int, rows: int, encoded: int, distinct: int
) -> None:
    """Progress by rows, from that of a shard by its distinct prompts."""
    progress(before + pairs * encoded // distinct, rows)


def _width(out: Path, number: int, rows: int) -> int | None:
    """Numbers in the vectors of a shard that is there; None where it has to be made."""
    vectors_file, ids_file = shard_files(out, number)
    if not ids_file.exists():
        return None
    there = left_array(vectors_file)
    if there is None or there.ndim != 2 or len(there) != rows:
        return None
    return int(there.shape[1])


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
