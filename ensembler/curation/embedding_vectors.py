"""Unit vectors of a pair table's rows, in its order: given by id, or made from the prompts.

An image may have several rows, as one with five captions does. The vector of the image then goes to
each of them; vectors of prompts, one for each row, are matched by the order of the rows.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.embedding import embed
from ensembler.curation.embedding_folder import read_shards
from ensembler.curation.pairs import read_pairs, writable_pairs
from ensembler.errors import InputError, first_few
from ensembler.metrics import unit_rows
from ensembler.store.importing.joining import Join, checked_blocks, common_dim, join_by_id
from ensembler.store.importing.sources import Source, read_source

Stages = Callable[[str, int, int], None]  # called with (stage, rows done, rows in all)


class PairVectors(NamedTuple):
    """Images and unit vectors of a table's rows."""

    ids: NDArray[np.str_]  # (n,) the rows' images
    unit: NDArray[np.float32]  # (n, d), rows of unit length or zero; a memory map


@contextmanager
def pair_vectors(
    pairs: Path, out: Path, vectors: Path | None, encoder: Path | None, advance: Stages
) -> Iterator[PairVectors]:
    """Open the images and unit vectors of a pair table's rows for the duration of a block.

    Without `vectors`, the prompts are embedded into a folder beside `out`, which is removed when
    the block succeeds: after an interruption the same call resumes there.

    Args:
        pairs: a pair table; see `read_pairs`.
        out: the file to be made from it.
        vectors: as for `vectors_of`; None embeds the prompts.
        encoder: a sentence-transformers folder; None takes the installed encoder.
        advance: called with (stage, rows done, rows in all).

    Yields:
        Images and vectors in the table's order.

    Raises:
        InputError: see `vectors_of` and `embed`; or `out` cannot be written.
        StoreError: see `vectors_of` and `embed`.
    """
    place = writable_pairs(out).parent
    ids = np.array(
        [image for block in read_pairs(pairs) for image in block["image"].to_pylist()],
        dtype=np.str_,
    )
    if vectors is not None:
        with vectors_of(vectors, ids, place) as unit:
            yield PairVectors(ids, unit)
        return
    folder = place / f".{out.name}.embeddings"
    embed(pairs, folder, encoder=encoder, progress=partial(advance, "embedding prompts"))
    with vectors_of(folder, ids, place) as unit:
        yield PairVectors(ids, unit)
    shutil.rmtree(folder)


@contextmanager
def vectors_of(path: Path, ids: NDArray[np.str_], place: Path) -> Iterator[NDArray[np.float32]]:
    """Open the unit vectors of some rows, on disk, for the duration of a block.

    Args:
        path: a folder that `data embed` made, or a file of vectors with ids (.parquet, .npz, .pt,
            CSV), in any order and perhaps with further ids; or an .npy file in the order of
            `ids`. With repeated ids it must have exactly `ids`, in their order.
        ids: (n,) text, the rows' images.
        place: an existing folder for a temporary file of 4 n d bytes.

    Yields:
        (n, d) float32, a memory map; rows of unit length, or zero where they were.

    Raises:
        InputError: an id has no vector, or several that are not in the rows' order, or the files
            are incomplete.
        StoreError: a file is broken, or a vector is NaN or infinite.
    """
    sources = read_shards(path) if path.is_dir() else [_with_ids(read_source(path), ids)]
    dim = common_dim(sources, None, str(path))
    join = _join(path, sources, ids)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(dir=place))
            remedy = "embed it again, or leave the pair out"
            blocks = checked_blocks(sources, join, ids, np.dtype(np.float64), remedy=remedy)
            for block in blocks:
                file.write(unit_rows(block).astype("<f4").tobytes())
            file.flush()
        except OSError as error:
            raise InputError(
                f"{place} cannot hold the {4 * len(ids) * dim:,} bytes of the vectors"
                f" ({error.strerror or error}); make room there, or write to another folder"
            ) from error
        yield np.memmap(file, "<f4", "r", shape=(len(ids), dim))


def _join(path: Path, sources: list[Source], ids: NDArray[np.str_]) -> Join:
    """Match rows of the files to ids: by position where all ids are equal, else by id."""
    import pyarrow as pa
    import pyarrow.compute as pc

    theirs = pa.concat_arrays([source.ids for source in sources])
    if theirs.equals(pa.array(ids.tolist(), pa.string())):
        return Join(positions=np.arange(len(ids)), rows=np.arange(len(ids)), unknown=0)
    if pc.count_distinct(theirs, mode="all").as_py() < len(theirs):
        raise InputError(
            f"{path} has several vectors for an image, as prompts of one image do, but not those of"
            " these pairs in their order; embed this very table, or drop --vectors"
        )
    distinct, number = np.unique(ids, return_inverse=True)
    join = join_by_id(sources, distinct, drop_unknown=True)
    if len(join) < len(distinct):
        missing = np.delete(distinct, join.positions)
        raise InputError(
            f"{path} has no vectors for {len(missing)} images: {first_few(missing)}; embed"
            " them too, or leave their rows out"
        )
    return Join(positions=np.arange(len(ids)), rows=join.rows[number], unknown=join.unknown)


def _with_ids(source: Source, ids: NDArray[np.str_]) -> Source:
    """The vectors of a file with ids; without its own it must have a row for each, in order."""
    import pyarrow as pa

    if source.vectors is None:
        raise InputError(f"{source.path} holds texts; give vectors, or drop --vectors")
    if source.ids is not None:
        return source
    if source.vectors.ndim != 2 or len(source.vectors) != len(ids):
        raise InputError(
            f"{source.path} has numbers of shape {source.vectors.shape} for {len(ids)} pairs;"
            " without ids there must be a row for each, in their order"
        )
    return Source(path=source.path, ids=pa.array(ids.tolist(), pa.string()), vectors=source.vectors)
