"""Measurement of leaks: how similar rows of different folds still are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.neighbours import (
    BLOCK,
    PANEL,
    ROUNDING,
    decide,
    paired_products,
)
from ensembler.curation.neighbours_choice import EXACT_ROWS, draw_rows
from ensembler.store.encoder import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """The remaining similarity across folds.

    Attributes:
        largest: the largest cosine of two rows of different folds.
        pair: their positions.
        near: the share of rows with a near one in another fold.
        looked: how many rows were compared with all others: `largest` and `near` are theirs.
    """

    largest: float
    pair: tuple[int, int]
    near: float
    looked: int


def measure_leak(
    vectors: NDArray[np.float32],
    fold: NDArray[np.int64],
    threshold: float,
    progress: Progress | None = None,
) -> Leak:
    """The largest similarity across folds, of all rows up to EXACT_ROWS, else of drawn ones.

    Args:
        vectors: (n, d) float32 of unit length or zero.
        fold: (n,) int64, of two folds at least.
        threshold: the cosine from which two rows are near, in (0, 1).
        progress: called with rows done and in all after every block.
    """
    order = np.argsort(fold, kind="stable")  # each fold's rows together: no product is masked
    exact = len(vectors) <= EXACT_ROWS
    drawn = order if exact else order[np.sort(draw_rows(np.arange(len(order))))]
    seen = _Seen(vectors, threshold)
    done = 0
    for number in np.unique(fold[drawn]):
        mine = drawn[fold[drawn] == number]
        # Where all rows look, each pair is met once, from its lower fold.
        others = order[fold[order] > number] if exact else order[fold[order] != number]
        for start in range(0, len(mine), BLOCK):
            seen.compare(mine[start : start + BLOCK], others)
            done += len(mine[start : start + BLOCK])
            if progress is not None:
                progress(done, len(drawn))
    return Leak(
        largest=seen.largest,
        pair=seen.pair,
        near=float(seen.is_near[drawn].mean()),
        looked=len(drawn),
    )


class _Seen:
    """The running maximum and counts of comparisons."""

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        self._vectors, self._threshold = vectors, threshold
        self.largest = -np.inf
        self.pair = (0, 0)
        self.is_near = np.zeros(len(vectors), dtype=bool)

    def compare(self, mine: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Compare some rows with others, by their positions."""
        queries = self._vectors[mine]
        for start in range(0, len(others), PANEL):
            theirs = others[start : start + PANEL]
            keys = self._vectors[theirs]
            cosine = queries @ keys.T
            largest = cosine.max()  # one look, for mostly there is nothing to tell
            if largest > self.largest - ROUNDING:
                query, key = np.unravel_index(cosine.argmax(), cosine.shape)
                both = paired_products(queries[[query]], keys[[key]])
                if both[0] > self.largest:
                    self.largest = float(both[0])
                    self.pair = (int(mine[query]), int(theirs[key]))
            if largest >= self._threshold - ROUNDING:
                near = decide(cosine, queries, keys, self._threshold)
                self.is_near[mine[near.queries]] = True
                self.is_near[theirs[near.rows]] = True
