"""The folder that `ensembler data embed` writes: vectors with their ids, shard by shard.

recipe.json               prompts, encoder and rows per shard
embeddings-00000.npy      (rows, d) float32, C order, rows of unit length
embeddings-00000.parquet  the rows' ids: one text column `id`
complete.json             numbers of rows and shards, and the encoder; written last

A shard's ids are written after its vectors: it is complete when its ids exist. A folder without
complete.json is not finished.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from pydantic import Field, ValidationError

from ensembler.arrays import map_array
from ensembler.errors import InputError
from ensembler.files import BROKEN
from ensembler.frozen import Frozen
from ensembler.store.importing.sources import Source
from ensembler.store.model import EncoderRecord

COMPLETE: Final = "complete.json"


class Complete(Frozen):
    """Contents of `complete.json`."""

    rows: int = Field(ge=1)
    dim: int = Field(ge=1)
    shards: int = Field(ge=1)
    encoder: EncoderRecord


def shard_files(folder: Path, number: int) -> tuple[Path, Path]:
    """The files of a shard's vectors and of its ids."""
    name = f"embeddings-{number:05}"
    return folder / f"{name}.npy", folder / f"{name}.parquet"


def read_shards(folder: Path) -> list[Source]:
    """Open the shards of a finished folder, their vectors memory-mapped.

    Raises:
        InputError: it is not finished, or a shard is damaged.
    """
    import pyarrow.parquet as pq

    try:
        complete = Complete.model_validate_json((folder / COMPLETE).read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(
            f"{folder} is not a finished folder of embeddings; run"
            " `ensembler data embed` again with the same arguments"
        ) from error
    sources = []
    for number in range(complete.shards):
        vectors_file, ids_file = shard_files(folder, number)
        try:
            vectors = map_array(vectors_file)
            ids = pq.read_table(ids_file)["id"].combine_chunks()
            if vectors.shape != (len(ids), complete.dim) or vectors.dtype != np.float32:
                raise ValueError(f"{len(ids)} ids for {vectors.dtype}{vectors.shape}")
        except BROKEN as error:
            raise InputError(
                f"shard {number} of {folder} cannot be read ({error}); delete its two files and"
                " run `ensembler data embed` again"
            ) from error
        sources.append(Source(path=vectors_file, ids=ids, vectors=vectors))
    return sources
