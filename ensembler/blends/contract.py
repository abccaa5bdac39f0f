"""A blend: numbers fixed once and for all, and the rows that they make of members' rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows

Rows = Mapping[str, NDArray[np.float32]]  # member → (n, d) finite, zero rows where it has none


class Blend(Protocol):
    """A blend that is ready to be applied, whatever fitted it."""

    @property
    def members(self) -> tuple[str, ...]:
        """The members whose rows it reads, each once."""

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        """Blend the same n samples' rows of all members.

        Args:
            rows: at least those of `members`.
            priors: (n, d) of unit length, the prior of each row: one that knows neither the row's
                target nor any that the blend is scored on.

        Returns:
            The rows, of unit length: the prior where no member has the row, zero where cancelled.
        """
