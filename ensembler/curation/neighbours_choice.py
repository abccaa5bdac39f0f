"""Exact search, or by cells: by how many rows there are."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.neighbours import ExactIndex, Index
from ensembler.curation.neighbours_cells import CellIndex

EXACT_ROWS: Final = 200_000  # up to here every row is compared with every other


def make_index(vectors: NDArray[np.float32], threshold: float) -> Index:
    """An exact index for up to EXACT_ROWS rows, an approximate one above.

    Raises:
        InputError: there are more, and faiss is not installed.
    """
    return (ExactIndex if len(vectors) <= EXACT_ROWS else CellIndex)(vectors, threshold)
