"""What a way to correct a base must offer: equations to solve for what the base leaves over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.corrections.leftover import Leftover
from ensembler.blenders.data import Data
from ensembler.blends.contract import Blend


class Products(NamedTuple):
    """What several solutions add to some rows.

    Attributes:
        rows: (n,) int64, positions.
        added: for each solution (n, d).
    """

    rows: NDArray[np.int64]
    added: Sequence[NDArray[np.floating]]


class Equations(Protocol):
    """What is solved for a correction."""

    def solve(
        self, left: Leftover, strengths: Sequence[float], *, rough: bool
    ) -> list[NDArray[np.floating]]:
        """The solution for each strength, fitted on the training rows.

        Args:
            left: what is fitted.
            strengths: of the penalty, in units of row weights.
            rough: single precision will do: solutions are compared, and none is frozen.
        """

    def products(
        self, left: Leftover, solutions: Sequence[NDArray[np.floating]], rows: NDArray[np.int64]
    ) -> Iterator[Products]:
        """What solutions add to some rows, whose base is known, a block at a time."""

    def blend(
        self, data: Data, base: Blend | None, solution: NDArray[np.floating], scale: float
    ) -> Blend:
        """The base, times a scale, with a correction; None where the prior alone is corrected."""


class Method(Protocol):
    """A way to correct."""

    @property
    def status(self) -> str:
        """How a fit ends whose base calls for no remark."""

    def equations(self, left: Leftover) -> Equations:
        """What is solved for a base and what it leaves over."""
