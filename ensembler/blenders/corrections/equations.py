"""The normal equations of a linear map of all members, made once and solved for any folds.

The design matrix X has a line for each row and M·d columns: the members less their means, at unit
length, side by side. A map of strength l minimises `Σ ω |residual - x W|² + l |W|²`, so that

    W = (XᵀΩX + l)⁻¹ XᵀΩR = Xᵀ Ω½ (Ω½ X Xᵀ Ω½ + l)⁻¹ Ω½ R

(Hoerl & Kennard, Technometrics 12, 1970; the second form is the first's dual). The first needs one
Gram matrix of M·d columns for each fold, the second one of all rows: the smaller is kept. Neither
knows a target, so that both serve every fit on the same data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import ssyrk

from ensembler.blenders.corrections.contract import Equations, Products
from ensembler.blenders.corrections.residuals import Residuals
from ensembler.blenders.data import Data
from ensembler.blenders.refitting.memory import once_for_data
from ensembler.blends.contract import Blend
from ensembler.blends.linear import LinearBlend

Matrix = NDArray[np.floating]
Matrices = list[Matrix]


class Design(NamedTuple):
    """Some rows of the design matrix.

    Attributes:
        rows: (n,) int64, ascending positions.
        matrix: (n, M·d) float32; zeros where a member is absent.
    """

    rows: NDArray[np.int64]
    matrix: NDArray[np.float32]


@once_for_data
def member_equations(data: Data, members: tuple[str, ...]) -> Equations:
    """The smaller form for some members.

    Args:
        data: whose rows.
        members: M names.
    """
    if len(data.statistics) <= len(members) * data.dim:
        return _dual(data, members)
    return _primal(data, members)


def design_blocks(data: Data, members: Sequence[str], rows: NDArray[np.int64]) -> Iterator[Design]:
    """The design matrix of some rows, a block at a time.

    Args:
        data: whose rows.
        members: M names.
        rows: (n,) int64, ascending.
    """
    places = [data.names.index(name) for name in members]
    means = data.statistics.means[places]
    for block in data.blocks(members, rows):
        # The statistics know the lengths, and which rows centring leaves nothing of.
        lengths = data.statistics.centred.lengths[block.rows][:, places]
        factors = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
        matrix = np.empty((len(block.rows), len(places), data.dim), dtype=np.float32)
        for m, name in enumerate(members):
            np.subtract(block.members[name], means[m], out=matrix[:, m])
            matrix[:, m] *= factors[:, m, None].astype(np.float32)
        yield Design(block.rows, matrix.reshape(len(matrix), -1))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Primal:
    members: tuple[str, ...]
    grams: NDArray[np.float32]  # (F, M·d, M·d), of each fold's weighted rows; lower triangles

    def solve(self, residuals: Residuals, strengths: Sequence[float], *, rough: bool) -> Matrices:
        weight = residuals.data.statistics.weight
        cross = np.zeros((self.grams.shape[1], residuals.data.dim))
        for rows, matrix in design_blocks(residuals.data, self.members, residuals.rows):
            cross += matrix.T @ (weight[rows, None] * residuals.at(rows)).astype(np.float32)
        gram = np.zeros(self.grams.shape[1:], dtype=np.float32 if rough else np.float64)
        for fold in residuals.data.inner_folds(residuals.held_out):
            gram += self.grams[fold]
        cross = cross.astype(gram.dtype)
        return list(_solutions(gram, strengths, cross))

    def products(
        self, residuals: Residuals, solutions: Sequence[Matrix], rows: NDArray[np.int64]
    ) -> Iterator[Products]:
        maps = np.hstack([solution.astype(np.float32) for solution in solutions])
        for at, matrix in design_blocks(residuals.data, self.members, rows):
            yield Products(at, np.split(matrix @ maps, len(solutions), axis=1))

    def blend(self, data: Data, base: Blend | None, solution: Matrix, scale: float) -> LinearBlend:
        return _linear(data, base, self.members, solution, scale)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Dual:
    members: tuple[str, ...]
    kernel: Matrix  # (N, N), inner products of the design's rows

    def solve(
        self,
        residuals: Residuals,
        strengths: Sequence[float],
        *,
        rough: bool,  # noqa: ARG002 - so few rows are solved in no time
    ) -> Matrices:
        rows = residuals.rows
        root = np.sqrt(residuals.data.statistics.weight[rows])[:, None]
        gram = self.kernel[np.ix_(rows, rows)] * (root * root.T)
        right = root * residuals.at(rows)
        solutions: Matrices = []
        for solution in _solutions(gram, strengths, right):
            whole = np.zeros((len(self.kernel), residuals.data.dim))
            whole[rows] = root * solution
            solutions.append(whole)
        return solutions

    def products(
        self,
        residuals: Residuals,  # noqa: ARG002 - the other form streams its members
        solutions: Sequence[Matrix],
        rows: NDArray[np.int64],
    ) -> Iterator[Products]:
        yield Products(rows, [self.kernel[rows] @ solution for solution in solutions])

    def blend(self, data: Data, base: Blend | None, solution: Matrix, scale: float) -> LinearBlend:
        maps = np.zeros((len(self.members) * data.dim, data.dim))
        for rows, matrix in design_blocks(data, self.members, np.flatnonzero(solution.any(axis=1))):
            maps += matrix.T.astype(np.float64) @ solution[rows]
        return _linear(data, base, self.members, maps, scale)


def _primal(data: Data, members: tuple[str, ...]) -> _Primal:
    columns = len(members) * data.dim
    grams = np.zeros((data.statistics.folds, columns, columns), dtype=np.float32)
    for fold, gram in enumerate(grams):
        for rows, matrix in design_blocks(data, members, data.fold_rows(fold)):
            matrix *= np.sqrt(data.statistics.weight[rows, None]).astype(np.float32)
            # Transposed views are columns to BLAS, which adds to the one triangle in place.
            ssyrk(1.0, matrix.T, beta=1.0, c=gram.T, overwrite_c=True)
    return _Primal(members=members, grams=grams)


def _dual(data: Data, members: tuple[str, ...]) -> _Dual:
    kernel = np.zeros((len(data.statistics),) * 2)
    everything = np.arange(len(kernel))
    for name in members:  # one at a time, so that one member's few rows are all that is held
        own = np.concatenate([part.matrix for part in design_blocks(data, (name,), everything)])
        kernel += own.astype(np.float64) @ own.T.astype(np.float64)
    return _Dual(members=members, kernel=kernel)


def _solutions(gram: Matrix, strengths: Sequence[float], right: Matrix) -> Iterator[Matrix]:
    """(gram + strength)⁻¹ right, by Cholesky's factors of the lower triangle; the last in place."""
    for number, strength in enumerate(strengths, start=1):
        system = gram if number == len(strengths) else gram.copy()
        system[np.diag_indices(len(system))] += strength
        factor = cho_factor(system.T, overwrite_a=True, check_finite=False)  # columns to LAPACK
        yield cho_solve(factor, right, check_finite=False)


def _linear(
    data: Data, base: Blend | None, mapped: Sequence[str], maps: Matrix, scale: float
) -> LinearBlend:
    """A base with an (M·d, d) map of some members."""
    return LinearBlend(
        base=base,
        mapped=tuple(mapped),
        alphas=np.ones(len(mapped)),
        means=data.statistics.means[[data.names.index(name) for name in mapped]],
        scale=scale,
        maps=maps.reshape(-1, data.dim, data.dim).astype(np.float32),
    )
