"""Weights that move row by row with how far the members agree.

Row i multiplies the weight of member m by `exp(θ (a_im - mean_m a_im))`, where `a_im` is the mean
cosine of the member's row with the rows of the other members that have it. Pairwise cosines are all
it asks for, so the gates of a fit come from the statistics, those of a prediction from vectors, and
no label, source or weight has a say in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Block, Columns, Problem, packed_pairs


def gates_of(
    agreement: float, together: NDArray[np.float64], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What rows' weights are multiplied by.

    Args:
        agreement: θ; 0 gates nothing.
        together: (M, n) float64, the sum of a member's cosines with the others that are present.
        present: (M, n) which members have the row; any that are not are left out of the mean.

    Returns:
        (M, n) float64; 1 where a row has fewer than two members, or not this one.
    """
    count = present.sum(axis=0)
    mean_cosine = np.where(present, together, 0.0) / np.maximum(count - 1, 1)
    centre = mean_cosine.sum(axis=0) / np.maximum(count, 1)
    return np.where(present & (count > 1), np.exp(agreement * (mean_cosine - centre)), 1.0)


@dataclass(frozen=True, kw_only=True)
class GatedProblem:
    """A problem's rows under gates: what the solver asks of `Rows`.

    Attributes:
        problem: the rows before they are gated.
        voters: (M,) the members that are gated, by their agreement among themselves.
        agreement: θ.
    """

    problem: Problem
    voters: NDArray[np.bool_]
    agreement: float

    @property
    def columns(self) -> int:
        """The number of columns K: the prior and the members."""
        return self.problem.columns

    @property
    def scale(self) -> NDArray[np.float64]:
        """(K,) mean length of each column before it is gated."""
        return self.problem.scale

    def blocks(self) -> Iterator[Block]:
        """The rows in order, in blocks of fixed boundaries."""
        return iter(self._held) if self._held is not None else self._made()

    @cached_property
    def _held(self) -> tuple[Block, ...] | None:
        return tuple(self._made()) if self.problem.selection.is_small else None

    def _made(self) -> Iterator[Block]:
        first, second = packed_pairs(self.columns)
        selected = self.problem.selection.blocks()
        for block, (_, columns) in zip(self.problem.blocks(), selected, strict=True):
            gates = self._gates(columns)
            narrow = gates.astype(block.gram.dtype)
            yield block._replace(
                gram=block.gram * (narrow[first] * narrow[second]),
                cross=block.cross * gates,
                lengths=block.lengths * gates,
            )

    def _gates(self, columns: Columns) -> NDArray[np.float64]:
        """(K, n), the prior's 1 first."""
        present = (columns.lengths[1:] > 0.0) & self.voters[:, None]
        together = np.zeros(present.shape)
        first, second = np.triu_indices(self.columns, 1)
        for pair, (j, k) in enumerate(zip(first - 1, second - 1, strict=True)):
            if j >= 0 and self.voters[j] and self.voters[k]:  # a cosine is 0 where one is absent
                together[j] += columns.cosines[pair]
                together[k] += columns.cosines[pair]
        gates = gates_of(self.agreement, together, present)
        return np.vstack([np.ones(gates.shape[1]), gates])
