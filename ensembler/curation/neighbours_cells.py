"""Which rows are near which, where there are too many to compare them all: search by cells.

The space is cut into cells by k-means (an inverted file: Jégou, Douze & Schmid, 2011), and a row
looks in those whose centres are nearest. What it finds is near; it may miss some, and how often is
measured by those who use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.neighbours import ROUNDING, Pairs, settle
from ensembler.errors import InputError

PROBES: Final = 32  # cells a row looks in
ROWS_A_CELL: Final = 40  # that its centre is made from
ROUNDS: Final = 5  # of k-means; more moves the centres, hardly the recall
LOOKING: Final = 1 << 8  # rows that look at once: what all of them find is held
SEED: Final = 0


class CellIndex:
    """An `Index` whose queries look in the nearest cells only."""

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        """Cut the space into cells; there are no rows yet.

        Args:
            vectors: (n, d) float32 of unit length or zero; those that are added are copied.
            threshold: the cosine from which two are near, in (0, 1).

        Raises:
            InputError: faiss is not installed.
        """
        try:
            import faiss
        except ImportError as error:
            raise InputError(
                f"{len(vectors)} rows are compared by faiss, and it is not installed:"
                " pip install 'oof-ensembler[curation]'"
            ) from error
        self._vectors, self._threshold = vectors, threshold
        rows, dim = vectors.shape
        cells = max(1, min(int(4 * rows**0.5), rows // ROWS_A_CELL))
        drawn = np.random.default_rng(SEED).choice(
            rows, size=min(rows, cells * ROWS_A_CELL), replace=False
        )
        self._centres = faiss.IndexFlatIP(dim)  # kept: the index only borrows it
        self._index = faiss.IndexIVFFlat(self._centres, dim, cells, faiss.METRIC_INNER_PRODUCT)
        self._index.nprobe = min(PROBES, cells)
        self._index.cp.niter, self._index.cp.seed = ROUNDS, SEED
        self._index.cp.spherical = True
        self._index.train(vectors[np.sort(drawn)])

    def add(self, rows: NDArray[np.int64]) -> None:
        """See `Index`."""
        if len(rows):
            self._index.add_with_ids(self._vectors[rows], rows)

    def near(self, queries: NDArray[np.float32]) -> Iterator[Pairs]:
        """See `Index`."""
        for start in range(0, len(queries), LOOKING):
            some = np.ascontiguousarray(queries[start : start + LOOKING])
            limits, cosine, rows = self._index.range_search(some, self._threshold - ROUNDING)
            query = np.repeat(np.arange(len(some)), np.diff(limits.astype(np.int64)))
            found = settle(Pairs(query, rows), cosine, some, self._vectors, self._threshold)
            yield Pairs(start + found.queries, found.rows)
