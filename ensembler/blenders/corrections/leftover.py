"""What a blend leaves over of the targets: what a map that corrects it is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Aside, Data
from ensembler.blenders.refitting.held import make_room
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
        return self.data.training_rows(self.aside)

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
    rows = data.training_rows(aside)
    weight = np.zeros(len(data.statistics))
    weight[rows] = data.statistics.weight[rows]
    base = make_room(len(weight), data.dim)
    along = squared = 0.0
    for some, (vectors, *_) in data.blended(blend, np.union1d(rows, also), aside):
        base[some] = vectors
        along += float(weight[some] @ np.einsum("id,id->i", vectors, data.targets(some)))
        squared += float(weight[some] @ np.einsum("id,id->i", vectors, vectors))
    scale = along / squared if squared > 0.0 else 0.0
    return Leftover(data=data, aside=aside, base=base, scale=scale)
