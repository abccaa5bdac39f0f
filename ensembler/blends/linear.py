"""A linear map of members' rows, added to those of another blend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows, WeightedSum, member_part
from ensembler.blending.rules import CANCELLED
from ensembler.blends.contract import Blend, Rows
from ensembler.blends.weighted import WeightedBlend
from ensembler.metrics import unit_rows

# What a map without a base is added to: no member, hence the prior of each row.
PRIOR_ALONE = WeightedBlend(
    members=(),
    numbers=WeightedSum(prior_weight=1.0, weights=np.zeros(0), alphas=np.zeros(0), means=None),
)


@dataclass(frozen=True, kw_only=True)
class LinearBlend:
    """`scale · base + Σ x_m · ‖x_m‖^-alpha_m · map_m`, each row then scaled to length 1.

    Attributes:
        base: the blend that the map corrects; None stands for the prior.
        mapped: M names, in the order of the numbers; the base may read others.
        alphas: (M,) float64, the exponents: 0 leaves a row as it is, 1 gives it unit length.
        means: (M, d) float32, or None where members are not centred.
        scale: what the base's unit rows are multiplied by.
        maps: (M, d, d) float32, applied from the right.
    """

    base: Blend | None
    mapped: tuple[str, ...]
    alphas: NDArray[np.float64]
    means: NDArray[np.float32] | None
    scale: float
    maps: NDArray[np.float32]

    @property
    def members(self) -> tuple[str, ...]:
        """Those that are mapped, then the base's others."""
        base = self.base.members if self.base else ()
        return tuple(dict.fromkeys((*self.mapped, *base)))

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        base = (self.base or PRIOR_ALONE).apply(rows, priors)
        total = self.scale * base.vectors
        parts = np.linalg.norm(total, axis=1)
        absent = base.absent.copy()
        for m, name in enumerate(self.mapped):
            if not self.maps[m].any():  # older specs have such maps for what only the base reads
                continue
            mean = None if self.means is None else self.means[m]
            vectors, lengths = part = member_part(rows[name], mean)
            scaled = np.multiply(vectors, part.factors(float(self.alphas[m]))[:, None], out=vectors)
            # Members and maps are stored in single precision, which their product needs no more of.
            added = scaled.astype(np.float32) @ self.maps[m]
            total += added
            parts += np.sqrt(np.einsum("id,id->i", added, added))
            absent &= lengths == 0.0
        cancelled = ~absent & (np.linalg.norm(total, axis=1) <= CANCELLED * parts)
        total[cancelled] = 0.0
        total[absent] = priors[absent]
        return BlendedRows(unit_rows(total), absent, cancelled)
