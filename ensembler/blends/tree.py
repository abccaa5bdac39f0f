"""A weighted sum of blends, as stacking and groups of members make it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows, WeightedSum, blend_rows
from ensembler.blends.contract import Blend, Rows


@dataclass(frozen=True, kw_only=True)
class TreeBlend:
    """The blend whose members are other blends' unit rows.

    Attributes:
        children: C names with their blends, in the order of the numbers.
        numbers: weights, norms and means over the children's rows.
    """

    children: tuple[tuple[str, Blend], ...]
    numbers: WeightedSum

    @property
    def members(self) -> tuple[str, ...]:
        """Those of all children."""
        return tuple(dict.fromkeys(name for _, blend in self.children for name in blend.members))

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        """Blend the children's rows; one that a child lacks or cancels is zero there."""
        blocks = (child_rows(blend.apply(rows, priors)) for _, blend in self.children)
        return blend_rows(self.numbers, priors, blocks)


def child_rows(blended: BlendedRows) -> NDArray[np.float32]:
    """A blend's rows as a member's: (n, d), zero where it has none of its own."""
    vectors = blended.vectors.astype(np.float32)
    vectors[blended.absent] = 0.0
    return vectors
