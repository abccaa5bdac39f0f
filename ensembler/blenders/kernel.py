"""A smooth function of the base's own rows, fitted to the base's residuals.

Kernel ridge regression with a Gaussian kernel, on a subset of the training rows as landmarks
(Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, section 8.3.1): with K_LL the
kernel between landmarks and K that of the rows with them,

    coefficients = (KᵀΩK + l K_LL)⁻¹ KᵀΩR,

which is the exact solution while all training rows are landmarks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

from ensembler.blenders.contract import Blender, Property
from ensembler.blenders.corrections.contract import Products
from ensembler.blenders.corrections.correction import (
    FittedCorrection,
    check_positive,
    fit_correction,
)
from ensembler.blenders.corrections.residuals import Residuals
from ensembler.blenders.data import BLOCK, Data, HeldFolds
from ensembler.blenders.refitting.memory import fit_once, once_for_data
from ensembler.blenders.spelling import spell
from ensembler.blenders.weighted import Weighted
from ensembler.blends.contract import Blend
from ensembler.blends.kernel import KernelBlend, evaluate_kernel

# What inner folds choose among, the base as it is first; in units of a group's mean weight.
STRENGTHS = (math.inf, 10.0, 3.0, 1.0, 0.3, 0.1)
DEFAULT = 3.0  # where folds are too few to choose
LANDMARKS = 1024  # at most; drawn by id
JITTER = 1e-10  # on the kernel's diagonal of ones: two landmarks may be the same vector


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel on the base: rows that are alike under it are corrected alike.

    Attributes:
        base: the blender that is corrected.
        width: of the kernel, `exp(width (cosine - 1))`.
        strength: of the penalty, as in STRENGTHS; None lets inner folds choose.
    """

    base: Blender = field(default_factory=Weighted)
    width: float = 4.0
    strength: float | None = None

    def __post_init__(self) -> None:
        check_positive("kernel", "width", self.width)
        check_positive("kernel", "strength", self.strength)

    @property
    def name(self) -> str:
        return f"{self.base.name}+{spell('kernel', self)}"

    @property
    def properties(self) -> frozenset[Property]:
        """Those of the base but one: a correction may lower a score on the rows it is fitted to."""
        return self.base.properties - {Property.NEVER_BELOW_SINGLES}

    @property
    def fallback(self) -> str:
        """The base: inner folds may choose to leave it as it is."""
        return self.base.name

    def fit(self, data: Data, held_out: HeldFolds, seed: int) -> FittedCorrection:
        base = fit_once(data, self.base, held_out, seed)
        strengths = STRENGTHS if self.strength is None else (self.strength,)
        return fit_correction(data, held_out, base, _Smooth(width=self.width), strengths, DEFAULT)


@dataclass(frozen=True, kw_only=True)
class _Smooth:
    """Corrections by a kernel of one width."""

    width: float
    status: str = "CONVERGED"

    def equations(self, residuals: Residuals) -> _LandmarkEquations:
        return _LandmarkEquations(landmarks=_landmarks(residuals), width=self.width)


@dataclass(frozen=True, eq=False, kw_only=True)
class _LandmarkEquations:
    landmarks: NDArray[np.float32]  # (L, d) of unit length
    width: float

    def solve(
        self,
        residuals: Residuals,
        strengths: Sequence[float],
        *,
        rough: bool,  # noqa: ARG002 - near landmarks need all digits
    ) -> list[NDArray[np.floating]]:
        gram = np.zeros((len(self.landmarks),) * 2)
        cross = np.zeros((len(self.landmarks), residuals.data.dim))
        for rows, near in self._near(residuals, residuals.rows):
            root = np.sqrt(residuals.data.statistics.weight[rows, None])
            near *= root
            # Transposed views are columns to BLAS, which adds to the one triangle in place.
            dsyrk(1.0, near.T, beta=1.0, c=gram.T, overwrite_c=True)
            cross += near.T @ (root * residuals.at(rows))
        between = evaluate_kernel(self.landmarks, self.landmarks, self.width)
        between[np.diag_indices(len(between))] += JITTER
        solutions: list[NDArray[np.floating]] = []
        for strength in strengths:
            system = gram + strength * between
            factor = cho_factor(system.T, overwrite_a=True, check_finite=False)
            solutions.append(np.asarray(cho_solve(factor, cross, check_finite=False)))
        return solutions

    def products(
        self,
        residuals: Residuals,
        solutions: Sequence[NDArray[np.floating]],
        rows: NDArray[np.int64],
    ) -> Iterator[Products]:
        for some, near in self._near(residuals, rows):
            yield Products(some, [near @ solution for solution in solutions])

    def blend(
        self,
        data: Data,  # noqa: ARG002 - landmarks are all that is asked for
        base: Blend | None,
        solution: NDArray[np.floating],
        scale: float,
    ) -> KernelBlend:
        assert base is not None  # noqa: S101 - a kernel always has a base
        return KernelBlend(
            base=base,
            landmarks=self.landmarks,
            coefficients=solution.astype(np.float32),
            width=self.width,
            scale=scale,
        )

    def _near(
        self, residuals: Residuals, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Some rows' kernel with the landmarks, a block at a time."""
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            yield some, evaluate_kernel(residuals.base[some], self.landmarks, self.width)


def _landmarks(residuals: Residuals) -> NDArray[np.float32]:
    """(L, d) the base's vectors of the training rows that are first in the order drawn by id."""
    rows = residuals.rows
    drawn = rows[np.argsort(_draws(residuals.data)[rows], kind="stable")[:LANDMARKS]]
    return residuals.base[np.sort(drawn)]


@once_for_data
def _draws(data: Data) -> NDArray[np.bytes_]:
    """(N,) sort keys of the draw: digests of ids, so that the order of rows does not matter."""
    return np.array([hashlib.sha256(str(id_).encode()).digest() for id_ in data.store.samples.id])
