"""Search for near rows: exact, by blocks of matrix products.

Products are computed in float32; those within its rounding error of the threshold are computed
again in float64. The result thus does not depend on the machine, its threads or the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 1 << 10  # rows that look for neighbours at once: their products stay in the cache
PANEL: Final = 1 << 10  # rows they are compared with at once; likewise
UNSURE: Final = 1 << 14  # pairs taken again in float64 at once; likewise
ROUNDING: Final = 1e-5  # of a float32 product of unit vectors: 1e-7 is usual, this never seen


class Pairs(NamedTuple):
    """Rows that are near one another."""

    queries: NDArray[np.int64]  # (k,) positions among those who looked
    rows: NDArray[np.int64]  # (k,) for each, the row it found


class Index(Protocol):
    """An index of rows that finds those near a query; rows are added in ascending order.

    Attributes:
        block: the best number of queries per call.
    """

    block: int

    def add(self, rows: NDArray[np.int64]) -> None:
        """Add rows to the index."""

    def near(self, queries: NDArray[np.float32]) -> Iterator[Pairs]:
        """Find the rows near each of (q, d) unit vectors, in portions of bounded size."""


class ExactIndex:
    """An `Index` that compares every query with every row."""

    block = BLOCK

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        """Begin without rows.

        Args:
            vectors: (n, d) float32 of unit length or zero; may be a memory map.
            threshold: the cosine from which two are near, in (0, 1).
        """
        self._vectors, self._threshold = np.asarray(vectors), threshold
        self._rows = np.empty(len(vectors), dtype=np.int64)
        self._added = 0

    def add(self, rows: NDArray[np.int64]) -> None:
        """See `Index`."""
        self._rows[self._added : self._added + len(rows)] = rows
        self._added += len(rows)

    def near(self, queries: NDArray[np.float32]) -> Iterator[Pairs]:
        """See `Index`; the rows of each portion lie behind those of the one before."""
        return near_rows(queries, self._vectors, self._rows[: self._added], self._threshold)


def near_rows(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    threshold: float,
) -> Iterator[Pairs]:
    """Find all near pairs of queries and some rows, PANEL rows at a time.

    Args:
        queries: (q, d) float32 of unit length or zero.
        vectors: (n, d) float32, likewise; may be a memory map.
        rows: (k,) which of them are looked at, ascending.
        threshold: the cosine from which two are near, in (0, 1).
    """
    for start in range(0, len(rows), PANEL):
        some = rows[start : start + PANEL]
        first, last = some[0], some[-1] + 1
        keys = vectors[first:last] if last - first == len(some) else vectors[some]  # else a copy
        found = near_pairs(queries, keys, threshold)
        yield Pairs(found.queries, some[found.rows])


def near_pairs(queries: NDArray[np.float32], keys: NDArray[np.float32], threshold: float) -> Pairs:
    """Find all pairs of a query and a key whose cosine reaches a threshold.

    Args:
        queries: (q, d) float32 of unit length; a zero vector is near nothing.
        keys: (k, d) float32, likewise.
        threshold: in (0, 1).

    Returns:
        The pairs, by query and then by key; as their float64 products decide.
    """
    return decide(queries @ keys.T, queries, keys, threshold)


def decide(
    cosine: NDArray[np.float32],
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    threshold: float,
) -> Pairs:
    """`near_pairs` of what is multiplied already: `cosine` is queries @ keys.T, (q, k)."""
    width = max(1, cosine.shape[1])
    flat = np.flatnonzero(cosine.ravel() >= np.float32(threshold - ROUNDING))
    found = Pairs(flat // width, flat % width)
    return settle(found, cosine.ravel()[flat], queries, keys, threshold)


def settle(
    found: Pairs,
    cosine: NDArray[np.float32],
    queries: NDArray[np.float32],
    keys: NDArray[np.float32],
    threshold: float,
) -> Pairs:
    """Select the near pairs among candidates found in float32, by their float64 products.

    Args:
        found: (k,) pairs.
        cosine: (k,) float32, theirs.
        queries: (q, d) float32 that the pairs' queries point into.
        keys: (n, d) float32 that their rows point into.
        threshold: in (0, 1).
    """
    unsure = np.flatnonzero(cosine < threshold + ROUNDING)
    if not len(unsure):
        return found
    is_near = np.ones(len(cosine), dtype=bool)
    for start in range(0, len(unsure), UNSURE):
        some = unsure[start : start + UNSURE]
        left, right = queries[found.queries[some]], keys[found.rows[some]]
        is_near[some] = paired_products(left, right) >= threshold
    return Pairs(found.queries[is_near], found.rows[is_near])


def paired_products(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """(k,) float64 inner products of the rows of (k, d) and (k, d)."""
    products: NDArray[np.float64] = np.einsum(
        "kd,kd->k", left.astype(np.float64), right.astype(np.float64)
    )
    return products
