"""A weighted sum whose weights move row by row with how far the members agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows, WeightedSum, blend_rows, scaled_rows
from ensembler.blending.gating import gates_of
from ensembler.blends.contract import Rows


@dataclass(frozen=True, kw_only=True)
class Gated:
    """Weights times the gates of `ensembler.blending.gating`.

    A gate that is log-linear in the rows' lengths needs no number of its own: it is an exponent of
    the norms, and `numbers.alphas` holds it.

    Attributes:
        members: M names, in the order of the numbers; all of them vote, whatever their weight.
        numbers: weights, norms and means.
        agreement: θ, how much agreement counts; 0 gates nothing.
    """

    members: tuple[str, ...]
    numbers: WeightedSum
    agreement: float

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        """As `Blend.apply` says."""
        own = [rows[name] for name in self.members]
        return blend_rows(self.numbers, priors, own, self._gates(own))

    def _gates(self, own: Sequence[NDArray[np.float32]]) -> NDArray[np.float64] | None:
        """(M, n) from the rows' vectors."""
        if not own:
            return None
        means = self.numbers.means
        units = [
            scaled_rows(block, None if means is None else means[m], 1.0)
            for m, block in enumerate(own)
        ]
        total = sum(units, start=np.zeros_like(units[0]))
        present = np.stack([unit.any(axis=1) for unit in units])
        together = np.stack([np.einsum("id,id->i", unit, total) for unit in units]) - present
        return gates_of(self.agreement, together, present)
