"""Choice of the search by the number of rows: exact or approximate."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.curation.neighbours import ExactIndex, Index
from ensembler.curation.neighbours_cells import CellIndex

EXACT_ROWS: Final = 200_000  # up to here every row is compared with every other
DRAWN: Final = 2_048  # of more, that are compared with all others to tell what was missed
SEED: Final = 0


def make_index(vectors: NDArray[np.float32], threshold: float) -> Index:
    """Make an exact index for up to EXACT_ROWS rows, an approximate one for more.

    Raises:
        InputError: there are more, and faiss is not installed.
    """
    return (ExactIndex if len(vectors) <= EXACT_ROWS else CellIndex)(vectors, threshold)


def draw_rows(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw DRAWN of some rows, or take all if there are no more; repeatable."""
    rng = np.random.default_rng(SEED)
    return rng.choice(rows, size=min(DRAWN, len(rows)), replace=False)
