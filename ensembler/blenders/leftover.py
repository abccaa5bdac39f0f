"""What a blend leaves over of the targets: what a map that corrects it is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import BLOCK, Aside, Data
from ensembler.blenders.held import make_room
from ensembler.blends.contract import Blend


@dataclass(frozen=True, eq=False, kw_only=True)
class Leftover:
    """Targets less `scale` times a blend's unit rows.

    Attributes:
        data: whose rows they are.
        aside: the folds whose targets the blend does not know, nor anything fitted to this.
        base: (N, d) float32, the blend's rows by position; zero where none was asked for.
        scale: by which the blend's rows come closest to the targets, over the training rows.
    """

    data: Data
    aside: Aside
    base: NDArray[np.float32]
    scale: float

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) int64, ascending: the training rows of any weight."""
        return _trained(self.data, self.aside)

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, d) float64: what is left over of some rows' targets."""
        return self.data.targets(rows) - self.scale * self.base[rows]


def leftover(data: Data, blend: Blend, aside: Aside, also: NDArray[np.int64]) -> Leftover:
    """What a blend leaves over on its training rows.

    Args:
        data: what it was fitted on.
        blend: fitted without the folds aside.
        aside: the folds whose targets nothing may know.
        also: (n,) int64, other rows whose base will be asked for.
    """
    rows = _trained(data, aside)
    base = make_room(len(data.statistics), data.dim)
    for block in data.blended(blend, np.union1d(rows, also), aside):
        base[block.rows] = block.blended.vectors
    along = squared = 0.0
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        weight, vectors = data.statistics.weight[some], base[some].astype(np.float64)
        along += float(weight @ np.einsum("id,id->i", vectors, data.targets(some)))
        squared += float(weight @ np.einsum("id,id->i", vectors, vectors))
    scale = along / squared if squared > 0.0 else 0.0
    return Leftover(data=data, aside=aside, base=base, scale=scale)


def _trained(data: Data, aside: Aside) -> NDArray[np.int64]:
    rows = data.training_rows(aside)
    return rows[data.statistics.weight[rows] > 0.0]
