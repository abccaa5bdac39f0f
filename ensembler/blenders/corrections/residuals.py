"""The residuals of a blend: the targets that a correction is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.buffers import make_buffer
from ensembler.blends.contract import Blend


@dataclass(frozen=True, eq=False, kw_only=True)
class Residuals:
    """Targets less `scale` times a blend's unit rows.

    Attributes:
        data: whose rows they are.
        held_out: the folds whose targets the blend does not know, nor anything fitted to this.
        base: (N, d) float32, the blend's rows by position; zero where none was asked for.
        scale: by which the blend's rows come closest to the targets, over the training rows.
    """

    data: Data
    held_out: HeldFolds
    base: NDArray[np.float32]
    scale: float

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) int64, ascending: the training rows of any weight."""
        return self.data.training_rows(self.held_out)

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, d) float64: the residuals of some rows."""
        return self.data.targets(rows) - self.scale * self.base[rows]


def compute_residuals(
    data: Data, blend: Blend, held_out: HeldFolds, also: NDArray[np.int64]
) -> Residuals:
    """Blend rows and find the scale that brings them closest to their targets.

    Args:
        data: that the blend was fitted on.
        blend: fitted without the held-out folds.
        held_out: the folds whose targets nothing may know.
        also: (n,) int64, other rows whose base will be asked for.
    """
    rows = data.training_rows(held_out)
    weight = np.zeros(len(data.statistics))
    weight[rows] = data.statistics.weight[rows]
    base = make_buffer(len(weight), data.dim)
    along = squared = 0.0
    for some, (vectors, *_) in data.blended(blend, np.union1d(rows, also), held_out):
        base[some] = vectors
        along += float(weight[some] @ np.einsum("id,id->i", vectors, data.targets(some)))
        squared += float(weight[some] @ np.einsum("id,id->i", vectors, vectors))
    scale = along / squared if squared > 0.0 else 0.0
    return Residuals(data=data, held_out=held_out, base=base, scale=scale)
