"""A problem: some rows of the statistics under one choice of centring and norms.

The columns of a problem are the prior, first, and the members. Member m of row i has the length
`‖x_im‖^(1 - alpha_m)` (alpha 0: as it is, 1: unit length); the prior has length 1. Cosine ignores
scale twice over, which keeps float32 honest for any lengths: each column is divided by its mean
length (the solver works on weights times that length), each row by its longest column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics

BLOCK = 8192  # rows of one matrix product; fixed, so that sums do not depend on the machine
HELD_BYTES = 1 << 28  # blocks of a problem up to this size are kept, larger ones made anew
SHORTEST = 1e-12  # a column this much shorter than its row's longest would square to a float32 0


class Columns(NamedTuple):
    """Statistics of some rows, the prior's column before the K - 1 members'.

    Attributes:
        cosines: (n, K(K-1)/2) float32 or float64, between columns j < k by row.
        cross: (n, K) float64, cosines with the target.
        lengths: (n, K) float64, ‖x‖, 0 where absent; 1 for the prior.
    """

    cosines: NDArray[np.floating]
    cross: NDArray[np.float64]
    lengths: NDArray[np.float64]


class Block(NamedTuple):
    """Some rows of a problem; K columns, Q = K(K+1)/2 packed pairs.

    Attributes:
        gram: (n, Q) float32 or float64, inner products between columns, as `packed_pairs` has them.
        cross: (n, K) float64, inner products with the unit target.
        lengths: (n, K) float64, of the columns; 0 where absent.
        fallback: (n,) float64, what a row scores that has no column of any weight: the prior.
        share: (n,) float64, the row's share of the mean; sums to 1 over all blocks.
    """

    gram: NDArray[np.floating]
    cross: NDArray[np.float64]
    lengths: NDArray[np.float64]
    fallback: NDArray[np.float64]
    share: NDArray[np.float64]


class Rows(Protocol):
    """What a solver needs: rows in blocks, and the unit in which each column's weight counts."""

    @property
    def columns(self) -> int:
        """The number of columns K."""

    @property
    def scale(self) -> NDArray[np.float64]:
        """(K,) the mean length of each column; the solver's weights are weights times it."""

    def blocks(self) -> Iterator[Block]:
        """The rows in order, in blocks of fixed boundaries."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Rows, centring and norms: everything but the weights.

    Attributes:
        statistics: of all rows and members.
        rows: (n,) int64, ascending: the rows to score.
        held_out: the fold whose targets no prior may know, or None.
        centred: whether members stand less their means.
        alphas: (M,) float64, each member's exponent: 0 none, 1 l2.
    """

    statistics: Statistics
    rows: NDArray[np.int64]
    held_out: int | None
    centred: bool
    alphas: NDArray[np.float64]

    @property
    def columns(self) -> int:
        """The number of columns K: the prior and the members."""
        return len(self.alphas) + 1

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """(K,) mean length of each column over the rows it covers; 1 for the prior."""
        total, count = self._totals
        mean = np.divide(total, count, out=np.ones_like(total), where=total > 0.0)
        return np.concatenate([[1.0], mean])

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(K,) the columns with any of the rows; what no row has tested should have no weight."""
        _, count = self._totals
        return np.concatenate([[True], count > 0.0])

    @cached_property
    def _totals(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(M,) summed lengths and (M,) numbers of rows of the members."""
        lengths = self.statistics.geometry(self.centred).lengths
        total, count = np.zeros(self.columns - 1), np.zeros(self.columns - 1)
        for rows in self._row_blocks():
            powered = self._powered(lengths[rows])
            total += powered.sum(axis=0)
            count += (powered > 0.0).sum(axis=0)
        return total, count

    def blocks(self) -> Iterator[Block]:
        """The rows in order, in blocks of fixed boundaries."""
        return iter(self._held) if self._held is not None else self._made()

    @cached_property
    def _held(self) -> tuple[Block, ...] | None:
        pairs = self.columns * (self.columns + 1) // 2
        itemsize = self.statistics.raw.cosines.itemsize
        small = len(self.rows) * pairs * itemsize <= HELD_BYTES
        return tuple(self._made()) if small else None

    def _row_blocks(self) -> Iterator[NDArray[np.int64]]:
        for start in range(0, len(self.rows), BLOCK):
            yield self.rows[start : start + BLOCK]

    def _powered(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """‖x‖^(1 - alpha), 0 where absent; the two exponents of almost every norm cost no power."""
        powered = np.array(lengths)
        for m, alpha in enumerate(self.alphas):
            present = lengths[:, m] > 0.0
            if alpha == 1.0:
                powered[:, m] = present
            elif alpha != 0.0:
                np.power(lengths[:, m], 1.0 - alpha, out=powered[:, m], where=present)
        return powered

    def _made(self) -> Iterator[Block]:
        total = self.statistics.weight[self.rows].sum() or 1.0  # rows of no weight score 0
        for rows in self._row_blocks():
            columns = columns_of(self.statistics, rows, self.held_out, centred=self.centred)
            lengths = np.column_stack(
                [columns.lengths[:, 0], self._powered(columns.lengths[:, 1:])]
            )
            yield make_block(
                columns.cosines,
                columns.cross,
                lengths / self.scale,
                fallback=columns.cross[:, 0],
                share=self.statistics.weight[rows] / total,
            )


def columns_of(
    statistics: Statistics, rows: NDArray[np.int64], held_out: int | None, *, centred: bool
) -> Columns:
    """The statistics of some rows with the prior as their first column.

    Args:
        statistics: of all rows.
        rows: (n,) int64.
        held_out: the fold whose targets no prior may know, or None.
        centred: whether members stand less their means.
    """
    geometry = statistics.geometry(centred)
    parts = statistics.prior_parts(held_out)[statistics.fold[rows]]
    between = geometry.cosines[rows]
    with_prior = np.einsum("imf,if->im", geometry.fold_cosines[rows], parts)
    prior_cross = np.einsum("if,if->i", statistics.target_cosines[rows], parts)
    return Columns(
        cosines=np.concatenate([with_prior.astype(between.dtype), between], axis=1),
        cross=np.column_stack([prior_cross, geometry.cross[rows]]),
        lengths=np.column_stack([parts.any(axis=1), geometry.lengths[rows]]),
    )


def packed_pairs(columns: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The columns of each packed pair: the K pairs of a column with itself, then j < k by row."""
    first, second = np.triu_indices(columns, 1)
    diagonal = np.arange(columns)
    return np.concatenate([diagonal, first]), np.concatenate([diagonal, second])


def make_block(
    cosines: NDArray[np.floating],
    cross: NDArray[np.float64],
    lengths: NDArray[np.float64],
    *,
    fallback: NDArray[np.float64],
    share: NDArray[np.float64],
) -> Block:
    """A block from cosines and lengths, each row scaled to a longest column of 1.

    Args:
        cosines: (n, K(K-1)/2), between columns j < k by row.
        cross: (n, K) cosines with the target.
        lengths: (n, K) of the columns, 0 where absent.
        fallback: as in Block.
        share: as in Block.
    """
    longest = lengths.max(axis=1, keepdims=True)
    lengths = lengths / np.where(longest > 0.0, longest, 1.0)
    extreme = lengths.min(where=lengths > 0.0, initial=1.0) < SHORTEST
    narrow = lengths.astype(np.float64 if extreme else cosines.dtype)
    first, second = packed_pairs(lengths.shape[1])
    gram = narrow[:, first] * narrow[:, second]
    gram[:, lengths.shape[1] :] *= cosines
    return Block(gram=gram, cross=cross * lengths, lengths=lengths, fallback=fallback, share=share)
