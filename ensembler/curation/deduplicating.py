"""Deduplication: of near-duplicates only the first in the given order is kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.embedding_vectors import Stages, pair_vectors
from ensembler.curation.neighbours import ExactIndex, Index, near_pairs
from ensembler.curation.neighbours_choice import EXACT_ROWS, draw_rows, make_index
from ensembler.curation.pairs import pair_columns, read_pairs, write_pairs
from ensembler.store.encoder import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """The result of deduplicating a pair table.

    Attributes:
        rows: number of rows read.
        kept: number of rows kept.
        recall: share of the near-duplicates that was found, estimated on a sample of the rows; None
            where all rows were compared.
    """

    rows: int
    kept: int
    recall: float | None


def find_leaders(
    vectors: NDArray[np.float32],
    threshold: float,
    index: Index | None = None,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Give every row a leader: the first leader before it that is near, or else itself.

    No two leaders are near one another, and every other row is near its leader. This is leader
    clustering (Hartigan, 1975).

    Args:
        vectors: (n, d) float32 of unit length; a zero vector is near nothing.
        threshold: the cosine from which two rows are near, in (0, 1).
        index: an empty index of these rows; None takes an exact one.
        progress: called with (rows done, rows in all) after every block.

    Returns:
        (n,) int64 positions; never behind the row itself.
    """
    index = ExactIndex(vectors, threshold) if index is None else index
    leader = np.arange(len(vectors))
    for start in range(0, len(vectors), index.block):
        block = np.asarray(vectors[start : start + index.block])
        leaders = leader[start : start + index.block]  # a view: it writes into `leader`
        for queries, rows in index.near(block):
            np.minimum.at(leaders, queries, rows)
        free = np.flatnonzero(leaders == np.arange(start, start + len(block)))
        among = _lead_at_once if len(free) <= ExactIndex.block else find_leaders
        leaders[free] = start + free[among(block[free], threshold)]
        index.add(start + np.flatnonzero(leaders == np.arange(start, start + len(block))))
        if progress is not None:
            progress(start + len(block), len(vectors))
    return leader


def measure_recall(
    vectors: NDArray[np.float32], leader: NDArray[np.int64], threshold: float
) -> float:
    """Estimate the share of near-duplicates found, by an exact search from a sample of leaders.

    Args:
        vectors: (n, d) float32 of unit length.
        leader: (n,) int64, the result of `find_leaders`.
        threshold: the threshold given to `find_leaders`.

    Returns:
        found / (found + missed), where a missed row is a leader near an earlier leader.
    """
    leaders = np.flatnonzero(leader == np.arange(len(leader)))
    exact = ExactIndex(vectors, threshold)
    exact.add(leaders)
    drawn = draw_rows(leaders)
    missed = np.zeros(len(drawn), dtype=bool)
    for queries, rows in exact.near(vectors[drawn]):
        missed[queries[rows < drawn[queries]]] = True
    found = len(leader) - len(leaders)
    overlooked = float(missed.mean()) * len(leaders)
    return found / (found + overlooked) if found + overlooked else 1.0


def dedupe(
    pairs: Path,
    out: Path,
    *,
    threshold: float,
    by: Literal["prompt", "image"] = "prompt",
    vectors: Path | None = None,
    encoder: Path | None = None,
    advance: Stages,
) -> Deduplicated:
    """Write a pair table without near-duplicates.

    By prompt, near-duplicates are dropped among the prompts of one image, too; by image, all pairs
    of a kept image are kept.

    Args:
        pairs: a pair table; see `read_pairs`.
        out: the table to write.
        threshold: the cosine from which two rows are near, in (0, 1).
        by: what is compared.
        vectors: vectors by image id; None embeds the prompts.
        encoder: a sentence-transformers folder; None takes the installed encoder.
        advance: called with (stage, rows done, rows in all).

    Raises:
        InputError: a file cannot be read or written, or lacks an image's vector.
        StoreError: likewise; or the encoder cannot be loaded.
    """
    columns = pair_columns(pairs)
    with pair_vectors(pairs, out, vectors, encoder, advance) as (ids, unit):
        leader = find_leaders(
            unit, threshold, make_index(unit, threshold), partial(advance, "comparing rows")
        )
        exact = len(unit) <= EXACT_ROWS
        recall = None if exact else measure_recall(unit, leader, threshold)
        kept = ids[leader] == ids if by == "image" else leader == np.arange(len(leader))
        start = 0
        with write_pairs(out, columns) as writer:
            for block in read_pairs(pairs):
                writer.write(block.filter(kept[start : start + len(block)]))
                start += len(block)
    return Deduplicated(rows=len(leader), kept=int(kept.sum()), recall=recall)


def _lead_at_once(vectors: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """`find_leaders` of one block, with all of its near pairs in memory."""
    leader = np.arange(len(vectors))
    queries, rows = near_pairs(vectors, vectors, threshold)
    earlier = rows < queries
    for query, row in zip(queries[earlier], rows[earlier], strict=True):
        # Pairs come in ascending order: whether a row leads is settled before others need it.
        if leader[query] == query and leader[row] == row:
            leader[query] = row
    return leader
