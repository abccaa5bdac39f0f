"""A weighted sum of members and the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows, WeightedSum, blend_rows
from ensembler.blends.contract import Rows


@dataclass(frozen=True, kw_only=True)
class WeightedBlend:
    """The blend of plain weights: every other stands on it or falls back to it.

    Attributes:
        members: M names, in the order of the numbers.
        numbers: weights, norms and means.
    """

    members: tuple[str, ...]
    numbers: WeightedSum

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        return blend_rows(self.numbers, priors, (rows[name] for name in self.members))
