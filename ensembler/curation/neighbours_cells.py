"""Search for near rows among too many to compare them all: approximate, by cells.

The space is cut into cells by k-means (an inverted file: Jégou, Douze & Schmid, 2011), and a row
looks in those whose centres are nearest. What it finds is near; it may miss some, and how often is
measured by those who use it.

Of many rows that look at once, those that look in one cell are multiplied with it together. A
product of matrices is several times faster than faiss's own search, one row after the other, and no
vector is copied into the index.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.neighbours import Pairs, near_rows
from ensembler.errors import InputError

PROBES: Final = 32  # cells a row looks in
ROWS_A_CELL: Final = 40  # that its centre is made from
ROUNDS: Final = 5  # of k-means; more moves the centres, hardly the recall
IN_A_CELL: Final = 64  # rows that look in a cell at once, on average
PORTION: Final = 1 << 16  # pairs that are given at once, or a few more
SEED: Final = 0


class CellIndex:
    """An `Index` that searches only the cells nearest to a query."""

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        """Cut the space into cells; the index is empty.

        Args:
            vectors: (n, d) float32 of unit length or zero; may be a memory map.
            threshold: the cosine from which two are near, in (0, 1).

        Raises:
            InputError: faiss is not installed.
        """
        try:
            import faiss
        except ImportError as error:
            raise InputError(
                f"{len(vectors)} rows need faiss, which is not installed:"
                " pip install 'oof-ensembler[curation]'"
            ) from error
        self._vectors, self._threshold = np.asarray(vectors), threshold
        rows, dim = vectors.shape
        cells = max(1, min(int(4 * rows**0.5), rows // ROWS_A_CELL))
        drawn = np.random.default_rng(SEED).choice(
            rows, size=min(rows, cells * ROWS_A_CELL), replace=False
        )
        means = faiss.Kmeans(dim, cells, niter=ROUNDS, seed=SEED, spherical=True)
        means.train(vectors[np.sort(drawn)])
        self._centres = means.index
        self._probes = min(PROBES, cells)
        self._rows = [np.empty(0, dtype=np.int64)] * cells  # that were added, of each cell
        self.block: int = max(1, IN_A_CELL * cells // self._probes)

    def add(self, rows: NDArray[np.int64]) -> None:
        """See `Index`."""
        for cell, chosen in self._by_cell(self._vectors[rows], 1):
            self._rows[cell] = np.concatenate([self._rows[cell], rows[chosen]])

    def near(self, queries: NDArray[np.float32]) -> Iterator[Pairs]:
        """See `Index`."""
        held: list[Pairs] = []
        count = 0
        for cell, looking in self._by_cell(queries, self._probes):
            mine = queries[looking]
            for found in near_rows(mine, self._vectors, self._rows[cell], self._threshold):
                held.append(Pairs(looking[found.queries], found.rows))
                count += len(found.rows)
                if count >= PORTION:
                    yield _joined(held)
                    held, count = [], 0
        if held:
            yield _joined(held)

    def _by_cell(
        self, queries: NDArray[np.float32], probes: int
    ) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each cell that is among the nearest of some queries, and these queries, ascending."""
        if not len(queries):
            return
        _, nearest = self._centres.search(np.ascontiguousarray(queries), probes)
        order = np.argsort(nearest, axis=None, kind="stable")
        cells, begin = np.unique(nearest.ravel()[order], return_index=True)
        for cell, (first, last) in zip(cells, pairwise([*begin, len(order)]), strict=True):
            yield int(cell), order[first:last] // probes


def _joined(portions: list[Pairs]) -> Pairs:
    return Pairs(*(np.concatenate(parts) for parts in zip(*portions, strict=True)))
