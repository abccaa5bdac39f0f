"""A weighted sum whose weights move row by row with how far the members agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows, Part, WeightedSum, blend_parts, parts_of
from ensembler.blending.gating import gates_of
from ensembler.blends.contract import Rows


@dataclass(frozen=True, kw_only=True)
class GatedBlend:
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
        parts = list(parts_of(self.numbers, (rows[name] for name in self.members)))
        return blend_parts(self.numbers, priors, parts, self._gates(parts))

    def _gates(self, parts: Sequence[Part]) -> NDArray[np.float64] | None:
        """(M, n) from the rows' vectors."""
        if not parts:
            return None
        inverse = [part.factors(1.0) for part in parts]
        total = np.zeros_like(parts[0].vectors)
        for part, factor in zip(parts, inverse, strict=True):
            total += part.vectors * factor[:, None]
        together = [
            factor * np.einsum("id,id->i", part.vectors, total)
            for part, factor in zip(parts, inverse, strict=True)
        ]
        present = np.stack([part.lengths > 0.0 for part in parts])
        return gates_of(self.agreement, np.stack(together) - present, present)
