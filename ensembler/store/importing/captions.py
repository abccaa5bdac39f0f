"""Members that are texts: captions joined to samples and turned into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.store.encoder import Progress, load_encoder
from ensembler.store.importing.joining import Join
from ensembler.store.importing.sources import Source
from ensembler.store.model import EncoderRecord

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Captions and their vectors, both in the samples' order.

    Attributes:
        texts: columns id and caption.
        source: the vectors, (n, d) float32 of unit length.
        join: of the vectors to the samples.
        encoder: what made the vectors.
    """

    texts: pa.Table
    source: Source
    join: Join
    encoder: EncoderRecord


def encode_captions(
    sources: Sequence[Source],
    join: Join,
    sample_ids: NDArray[np.str_],
    encoder: str | Path | None,
    progress: Progress | None,
) -> Encoded:
    """Encode the captions that belong to samples, each distinct text once.

    Args:
        sources: files of texts, all with ids.
        join: of these files.
        sample_ids: (samples,) text.
        encoder: a sentence-transformers folder; None takes MiniLM.
        progress: called while texts are encoded.

    Returns:
        The captions and their vectors.

    Raises:
        StoreError: a caption is blank, or the encoder cannot be loaded.
    """
    import pyarrow as pa

    texts = pa.concat_arrays([source.texts for source in sources])
    captions = texts.take(pa.array(join.rows)).fill_null("").to_pylist()
    ids = sample_ids[join.positions].tolist()
    blank = [id_ for id_, caption in zip(ids, captions, strict=True) if not caption.strip()]
    if blank:
        raise StoreError(
            f"{sources[0].path}: id {blank[0]!r} has a blank caption ({len(blank)} such rows);"
            " leave these rows out: a member may lack rows"
        )
    loaded = load_encoder(encoder)
    vectors = loaded.encode(captions, progress)
    return Encoded(
        texts=pa.table({"id": pa.array(ids, pa.string()), "caption": captions}),
        source=Source(path=sources[0].path, ids=None, vectors=vectors),
        join=Join(positions=join.positions, rows=np.arange(len(join)), unknown=join.unknown),
        encoder=loaded.record,
    )
