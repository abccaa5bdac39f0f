"""Of near-duplicates exactly one stays: the first in the given order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.embedding_vectors import Stages, pair_vectors
from ensembler.curation.neighbours import BLOCK, ExactIndex, Index, near_pairs
from ensembler.curation.neighbours_choice import EXACT_ROWS, make_index
from ensembler.curation.pairs import pair_columns, read_pairs, write_pairs
from ensembler.store.encoder import Progress

DRAWN: Final = 2_048  # rows looked at exactly to tell what an approximate search missed
SEED: Final = 0


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
    for start in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[start : start + BLOCK])
        mine = leader[start : start + BLOCK]  # a view: what is set here is set there
        for queries, rows in found.near(block):
            np.minimum.at(mine, queries, rows)
        _lead_within(block, mine, start, threshold)
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
    drawn = np.random.default_rng(SEED).choice(
        leaders, size=min(DRAWN, len(leaders)), replace=False
    )
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
    vectors: Path | None = None,
    encoder: Path | None = None,
    advance: Stages,
) -> Deduplicated:
    """Write a pair table without near-duplicates.

    Args:
        pairs: a pair table; see `read_pairs`.
        out: the table to write.
        threshold: the cosine from which two rows are near, in (0, 1).
        vectors: of the rows, by image id; None embeds the prompts.
        encoder: what embeds them; None takes the one that is installed.
        advance: told how far embedding and comparing are.

    Raises:
        InputError: a file cannot be read or written, or lacks an image's vector.
        StoreError: likewise; or the encoder cannot be loaded.
    """
    columns = pair_columns(pairs)
    with pair_vectors(pairs, out, vectors, encoder, advance) as (_, unit):
        leader = find_leaders(
            unit, threshold, make_index(unit, threshold), partial(advance, "comparing rows")
        )
        exact = len(unit) <= EXACT_ROWS
        recall = None if exact else measure_recall(unit, leader, threshold)
        kept = leader == np.arange(len(leader))
        start = 0
        with write_pairs(out, columns) as writer:
            for block in read_pairs(pairs):
                writer.write(block.filter(kept[start : start + len(block)]))
                start += len(block)
    return Deduplicated(rows=len(leader), kept=int(kept.sum()), recall=recall)


def _lead_within(
    block: NDArray[np.float32], mine: NDArray[np.int64], start: int, threshold: float
) -> None:
    """Set the leaders of rows that have none before their block."""
    own = start + np.arange(len(block))
    free = np.flatnonzero(mine == own)
    queries, rows = near_pairs(block[free], block[free], threshold)
    earlier = rows < queries
    for query, row in zip(free[queries[earlier]], free[rows[earlier]], strict=True):
        # In the order of queries and of rows, so that what leads is settled before it is asked.
        if mine[query] == own[query] and mine[row] == own[row]:
            mine[query] = own[row]
