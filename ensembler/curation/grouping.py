"""Grouping of similar rows: connected components, or rows near a leader."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ensembler.curation.neighbours import ExactIndex, Index, Pairs
from ensembler.store.encoder import Progress


def find_components(
    vectors: NDArray[np.float32],
    threshold: float,
    index: Index | None = None,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Group rows that are near one another, directly or through others.

    No two rows of different groups are near: this is single linkage, cut at the threshold.

    Args:
        vectors: (n, d) float32 of unit length; a zero vector is near nothing.
        threshold: the cosine from which two rows are near, in (0, 1).
        index: an empty one of these rows; None takes an exact one.
        progress: called with rows done and in all after every block.

    Returns:
        (n,) int64, for every row the first row of its group.
    """
    index = ExactIndex(vectors, threshold) if index is None else index
    parent = np.arange(len(vectors))  # a row of the same group, not behind; of the first, itself
    for start in range(0, len(vectors), index.block):
        block = np.asarray(vectors[start : start + index.block])
        index.add(np.arange(start, start + len(block)))
        for queries, rows in index.near(block):
            _join(parent, Pairs(start + queries, rows))
        if progress is not None:
            progress(start + len(block), len(vectors))
    return _first(parent, np.arange(len(vectors)))


def join_shared(group: NDArray[np.int64], keys: NDArray[np.str_]) -> NDArray[np.int64]:
    """Merge the groups of all rows that have the same key.

    Args:
        group: (n,) int64, for every row one row of its group, which stands for itself.
        keys: (n,) text, as the rows' images.

    Returns:
        (n,) int64, likewise.
    """
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    parent = group.copy()
    _join(parent, Pairs(np.arange(len(keys)), first[number]))
    return _first(parent, np.arange(len(keys)))


def _join(parent: NDArray[np.int64], pairs: Pairs) -> None:
    """Merge the groups that a near pair connects."""
    left, right = _first(parent, pairs.queries), _first(parent, pairs.rows)
    apart = left != right
    firsts, ends = np.unique([left[apart], right[apart]], return_inverse=True)
    if not len(firsts):
        return
    one, other = ends.reshape(2, -1)
    edges = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(len(firsts),) * 2)
    count, label = connected_components(edges, directed=False)
    smallest = np.full(count, len(parent))
    np.minimum.at(smallest, label, firsts)
    parent[firsts] = smallest[label]


def _first(parent: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of each row's group; the rows asked for remember it."""
    found = parent[rows]
    while not np.array_equal(further := parent[found], found):
        found = further
    parent[rows] = found
    return found
