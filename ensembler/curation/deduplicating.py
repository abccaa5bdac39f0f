"""Of near-duplicates exactly one stays: the first in the given order."""

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
    """What became of a table of pairs.

    Attributes:
        rows: how many there were.
        kept: how many stay.
        recall: the share of the near-duplicates that was found, as measured on some of the rows;
            None where all rows were compared.
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

    So no two leaders are near one another, and whoever is none is near its leader. This is leader
    clustering (Hartigan, 1975).

    Args:
        vectors: (n, d) float32 of unit length; a zero vector is near nothing.
        threshold: the cosine from which two rows are near, in (0, 1).
        index: an empty one of these rows; None takes an exact one.
        progress: called with rows done and in all after every block.

    Returns:
        (n,) int64 positions; never behind the row itself.
    """
    found = ExactIndex(vectors, threshold) if index is None else index
    leader = np.arange(len(vectors))
    for start in range(0, len(vectors), found.block):
        block = np.asarray(vectors[start : start + found.block])
        mine = leader[start : start + found.block]  # a view: what is set here is set there
        for queries, rows in found.near(block):
            np.minimum.at(mine, queries, rows)
        free = np.flatnonzero(mine == np.arange(start, start + len(block)))
        among = _lead_at_once if len(free) <= ExactIndex.block else find_leaders
        mine[free] = start + free[among(block[free], threshold)]
        found.add(start + np.flatnonzero(mine == np.arange(start, start + len(block))))
        if progress is not None:
            progress(start + len(block), len(vectors))
    return leader


def measure_recall(
    vectors: NDArray[np.float32], leader: NDArray[np.int64], threshold: float
) -> float:
    """The share of near-duplicates that a search found, by an exact look at some of its leaders.

    Args:
        vectors: (n, d) float32 of unit length.
        leader: (n,) int64, what `find_leaders` gave.
        threshold: the same.

    Returns:
        found / (found + missed), where a missed one is a leader near an earlier leader.
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

    By prompt, of an image's own prompts too none stays that is near an earlier one; by image, all
    pairs of an image that stays do.

    Args:
        pairs: a pair table; see `read_pairs`.
        out: the table to write.
        threshold: the cosine from which two rows are near, in (0, 1).
        by: what the vectors are of.
        vectors: of the rows, by image id; None embeds the prompts.
        encoder: what embeds them; None takes the one that is installed.
        advance: told how far embedding and comparing are.

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
    """`find_leaders` of a block's rows, whose pairs are all held."""
    leader = np.arange(len(vectors))
    queries, rows = near_pairs(vectors, vectors, threshold)
    earlier = rows < queries
    for query, row in zip(queries[earlier], rows[earlier], strict=True):
        # In the order of queries and of rows, so that what leads is settled before it is asked.
        if leader[query] == query and leader[row] == row:
            leader[query] = row
    return leader
