"""A blend's rows beyond the prior, with a gain for each direction of the embedding space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows
from ensembler.blending.rules import CANCELLED
from ensembler.blends.contract import Blend, Rows
from ensembler.metrics import unit_rows


class Split(NamedTuple):
    """Rows split at their priors.

    Attributes:
        along: (n,) float64, each row's product with its prior.
        beyond: (n, d) float64, what is left of it.
    """

    along: NDArray[np.float64]
    beyond: NDArray[np.float64]


def split_at_prior(vectors: NDArray[np.float64], priors: NDArray[np.float64]) -> Split:
    """Split (n, d) rows at (n, d) priors of unit length; all is beyond a prior of zeros."""
    along = np.einsum("id,id->i", vectors, priors)
    return Split(along, vectors - along[:, None] * priors)


@dataclass(frozen=True, kw_only=True)
class GainsBlend:
    """Gains on a blend's unit rows.

    A row y, split at its prior p into `y = (y·p) p + r`, becomes

        prior · (y·p) p  +  V diag(gains) Vᵀ r,

    scaled to length 1. A filter of y itself would damp the mean too, which is not noise.

    Attributes:
        base: the blend whose rows are filtered.
        basis: (d, d) float32, the directions V as orthonormal columns; None for the coordinates.
        gains: (d,) float32, one for each direction.
        prior: the gain of the part along the prior.
    """

    base: Blend
    basis: NDArray[np.float32] | None
    gains: NDArray[np.float32]
    prior: float

    @property
    def members(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.members

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        base = self.base.apply(rows, priors)
        split = split_at_prior(base.vectors, priors)
        along = self.prior * split.along[:, None] * priors
        beyond = split.beyond if self.basis is None else split.beyond @ self.basis
        beyond = beyond * self.gains
        if self.basis is not None:
            beyond = beyond @ self.basis.T
        total = along + beyond
        parts = np.linalg.norm(along, axis=1) + np.linalg.norm(beyond, axis=1)
        cancelled = ~base.absent & (np.linalg.norm(total, axis=1) <= CANCELLED * parts)
        total[cancelled] = 0.0
        total[base.absent] = base.vectors[base.absent]
        return BlendedRows(unit_rows(total), base.absent, cancelled)
