"""The contract of a correction: equations to solve for the residuals of a base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.corrections.residuals import Residuals
from ensembler.blenders.data import Data
from ensembler.blends.contract import Blend


class Products(NamedTuple):
    """The corrections of some rows by several solutions.

    Attributes:
        rows: (n,) int64, positions.
        added: for each solution (n, d).
    """

    rows: NDArray[np.int64]
    added: Sequence[NDArray[np.floating]]


class Equations(Protocol):
    """The equations that give a correction."""

    def solve(
        self, residuals: Residuals, strengths: Sequence[float], *, rough: bool
    ) -> list[NDArray[np.floating]]:
        """The solution for each strength, fitted on the training rows.

        Args:
            residuals: to fit.
            strengths: of the penalty, in units of row weights.
            rough: single precision is enough: solutions are compared, and none is frozen.
        """

    def products(
        self,
        residuals: Residuals,
        solutions: Sequence[NDArray[np.floating]],
        rows: NDArray[np.int64],
    ) -> Iterator[Products]:
        """Yield what solutions add to some rows, whose base is known, a block at a time."""

    def blend(
        self, data: Data, base: Blend | None, solution: NDArray[np.floating], scale: float
    ) -> Blend:
        """The base, times a scale, with a correction; None where the prior alone is corrected."""


class Method(Protocol):
    """A kind of correction, with its options."""

    @property
    def status(self) -> str:
        """How a fit ends whose base calls for no remark."""

    def equations(self, residuals: Residuals) -> Equations:
        """The equations for the residuals of a base."""
