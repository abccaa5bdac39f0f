"""A smooth function of a blend's own rows, added to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows
from ensembler.blending.rules import CANCELLED
from ensembler.blends.contract import Blend, Rows
from ensembler.metrics import unit_rows


@dataclass(frozen=True, kw_only=True)
class KernelBlend:
    """`scale · base + Σ_l k(base, landmark_l) · coefficients_l`, scaled to length 1.

    Attributes:
        base: the blend that is corrected.
        landmarks: (L, d) float32 of unit length.
        coefficients: (L, d) float32.
        width: h of the kernel `k(x, y) = exp(h (x·y - 1))`, on unit rows a Gaussian.
        scale: what the base's unit rows are multiplied by.
    """

    base: Blend
    landmarks: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    width: float
    scale: float

    @property
    def members(self) -> tuple[str, ...]:
        """The base's."""
        return self.base.members

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        base, absent, cancelled = self.base.apply(rows, priors)
        added = evaluate_kernel(base, self.landmarks, self.width) @ self.coefficients.astype(
            np.float64
        )
        total = self.scale * base + added
        parts = abs(self.scale) + np.linalg.norm(added, axis=1)
        cancelled = cancelled | (~absent & (np.linalg.norm(total, axis=1) <= CANCELLED * parts))
        total[cancelled] = 0.0
        total[absent] = base[absent]
        return BlendedRows(unit_rows(total), absent, cancelled)


def evaluate_kernel(
    rows: NDArray[np.floating], landmarks: NDArray[np.floating], width: float
) -> NDArray[np.float64]:
    """(n, L) float64: the kernel between (n, d) and (L, d) unit rows."""
    cosines = rows.astype(np.float64) @ landmarks.astype(np.float64).T
    cosines -= 1.0
    cosines *= width
    return np.exp(cosines, out=cosines)
