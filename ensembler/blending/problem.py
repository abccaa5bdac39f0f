"""A problem: some rows of the statistics under one choice of centring and norms.

The columns of a problem are the prior, first, and the members. Member m of row i has the length
`‖x_im‖^(1 - alpha_m)` (alpha 0: as it is, 1: unit length); the prior has length 1. Cosine ignores
scale twice over, which keeps float32 honest for any lengths: each column is divided by its mean
length (the solver works on weights times that length), each row by its longest column.

Arrays have a line for each column or pair and a row of the store in each place along it: then all
that is done to a pair, or by row, runs along contiguous memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import HeldOut, Statistics

BLOCK = 4096  # rows of one matrix product; fixed, so that sums do not depend on the machine
HELD_BYTES = 1 << 27  # what is no larger is kept in memory, anything larger made anew at each pass
SHORTEST = 1e-12  # a column this much shorter than its row's longest would square to a float32 0


class Columns(NamedTuple):
    """Statistics of n rows, the prior's column before the K - 1 members'.

    Attributes:
        cosines: (K(K-1)/2, n) float32 or float64, between columns j < k by row.
        cross: (K, n) float64, cosines with the target.
        lengths: (K, n) float64, ‖x‖, 0 where absent; 1 for the prior.
    """

    cosines: NDArray[np.floating]
    cross: NDArray[np.float64]
    lengths: NDArray[np.float64]


class Prior(NamedTuple):
    """The prior of n rows, which their targets' folds decide; M members.

    Attributes:
        cosines: (M, n) float64, with the members.
        cross: (n,) float64, cosines with the target.
        lengths: (n,) float64, 1, or 0 where no fold is left to make a prior of.
    """

    cosines: NDArray[np.float64]
    cross: NDArray[np.float64]
    lengths: NDArray[np.float64]


class Block(NamedTuple):
    """Some rows of a problem; K columns, Q = K(K+1)/2 packed pairs.

    Attributes:
        gram: (Q, n) float32 or float64, inner products between columns, as `packed_pairs` has them.
        cross: (K, n) float64, inner products with the unit target.
        lengths: (K, n) float64, of the columns; 0 where absent.
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
class Selection:
    """Rows of the statistics under one centring, with the prior that they may know.

    Attributes:
        statistics: of all rows and members.
        rows: (n,) int64, ascending: the rows to score.
        held_out: the folds whose targets no prior may know; None for none.
        centred: whether members stand less their means.
    """

    statistics: Statistics
    rows: NDArray[np.int64]
    held_out: HeldOut
    centred: bool

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Columns]]:
        """The rows in order, in blocks of fixed boundaries: which, and their statistics."""
        return iter(self._held) if self._held is not None else self._read()

    @cached_property
    def _held(self) -> tuple[tuple[NDArray[np.int64], Columns], ...] | None:
        return tuple(self._read()) if self.is_small else None

    @property
    def is_small(self) -> bool:
        """Whether Gram matrices of all rows may be kept in memory."""
        return self.gram_bytes <= HELD_BYTES

    @property
    def gram_bytes(self) -> int:
        """What the Gram matrices of all rows take."""
        columns = len(self.statistics.names) + 1
        numbers = len(self.rows) * columns * (columns + 1) // 2
        return numbers * self.statistics.raw.cosines.itemsize

    @cached_property
    def covered(self) -> NDArray[np.bool_]:
        """(K,) the columns with any of the rows; what no row has tested should have no weight."""
        lengths = self.statistics.geometry(self.centred).lengths
        found = np.zeros(lengths.shape[1], dtype=bool)
        for start in range(0, len(self.rows), BLOCK):
            found |= (lengths[self.rows[start : start + BLOCK]] > 0.0).any(axis=0)
        return np.concatenate([[True], found])

    def _read(self) -> Iterator[tuple[NDArray[np.int64], Columns]]:
        for start in range(0, len(self.rows), BLOCK):
            rows = self.rows[start : start + BLOCK]
            yield rows, columns_of(self.statistics, rows, self.held_out, centred=self.centred)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Rows, centring and norms: everything but the weights.

    Attributes:
        selection: the rows and their centring.
        alphas: (M,) float64, each member's exponent: 0 none, 1 l2.
    """

    selection: Selection
    alphas: NDArray[np.float64]

    @property
    def columns(self) -> int:
        """The number of columns K: the prior and the members."""
        return len(self.alphas) + 1

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """(K,) mean length of each column over the rows it covers; 1 for the prior."""
        total, count = np.zeros(self.columns), np.zeros(self.columns)
        for _, columns in self.selection.blocks():
            powered = self._powered(columns.lengths)
            total += powered.sum(axis=1)
            count += np.count_nonzero(powered, axis=1)
        mean = np.divide(total, count, out=np.ones_like(total), where=total > 0.0)
        return np.concatenate([[1.0], mean[1:]])

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(K,) the columns with any of the rows."""
        return self.selection.covered

    def blocks(self) -> Iterator[Block]:
        """The rows in order, in blocks of fixed boundaries."""
        return iter(self._held) if self._held is not None else self._made()

    @cached_property
    def _held(self) -> tuple[Block, ...] | None:
        return tuple(self._made()) if self.selection.is_small else None

    def _powered(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """‖x‖^(1 - alpha), 0 where absent; the two exponents of almost every norm cost no power."""
        powered = np.array(lengths)
        for m, alpha in enumerate(self.alphas, start=1):
            present = lengths[m] > 0.0
            if alpha == 1.0:
                powered[m] = present
            elif alpha != 0.0:
                np.power(lengths[m], 1.0 - alpha, out=powered[m], where=present)
        return powered

    def _made(self) -> Iterator[Block]:
        weight = self.selection.statistics.weight
        total = weight[self.selection.rows].sum() or 1.0  # rows of no weight score 0
        for rows, columns in self.selection.blocks():
            yield make_block(
                columns.cosines,
                columns.cross,
                self._powered(columns.lengths) / self.scale[:, None],
                fallback=columns.cross[0],
                share=weight[rows] / total,
            )


def columns_of(
    statistics: Statistics, rows: NDArray[np.int64], held_out: HeldOut, *, centred: bool
) -> Columns:
    """The statistics of some rows with the prior as their first column.

    Args:
        statistics: of all rows.
        rows: (n,) int64.
        held_out: the folds whose targets no prior may know; None for none.
        centred: whether members stand less their means.
    """
    geometry = statistics.geometry(centred)
    prior = prior_of(statistics, rows, held_out, centred=centred)
    between = geometry.cosines[rows].T
    return Columns(
        cosines=np.concatenate([prior.cosines.astype(between.dtype), between]),
        cross=np.vstack([prior.cross, geometry.cross[rows].T]),
        lengths=np.vstack([prior.lengths, geometry.lengths[rows].T]),
    )


def prior_of(
    statistics: Statistics, rows: NDArray[np.int64], held_out: HeldOut, *, centred: bool
) -> Prior:
    """The prior of some rows; the arguments are those of `columns_of`."""
    parts = statistics.prior_parts(held_out)[statistics.fold[rows]]
    return Prior(
        cosines=np.einsum("imf,if->mi", statistics.geometry(centred).fold_cosines[rows], parts),
        cross=prior_cosines(statistics, rows, held_out),
        lengths=np.where(parts.any(axis=1), 1.0, 0.0),
    )


def prior_cosines(
    statistics: Statistics, rows: NDArray[np.int64], held_out: HeldOut
) -> NDArray[np.float64]:
    """(n,) what rows score with their priors; the arguments are those of `columns_of`."""
    parts = statistics.prior_parts(held_out)[statistics.fold[rows]]
    return np.asarray(np.einsum("if,if->i", statistics.target_cosines[rows], parts))


@cache
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
        cosines: (K(K-1)/2, n), between columns j < k by row.
        cross: (K, n) cosines with the target.
        lengths: (K, n) of the columns, 0 where absent.
        fallback: as in Block.
        share: as in Block.
    """
    longest = lengths.max(axis=0)
    lengths = lengths / np.where(longest > 0.0, longest, 1.0)
    extreme = lengths.min(where=lengths > 0.0, initial=1.0) < SHORTEST
    narrow = lengths.astype(np.float64 if extreme else cosines.dtype)
    columns, rows = narrow.shape
    gram = np.empty((columns + len(cosines), rows), dtype=narrow.dtype)
    np.square(narrow, out=gram[:columns])
    place = columns
    for first in range(columns - 1):
        pairs = gram[place : place + columns - 1 - first]
        np.multiply(narrow[first], narrow[first + 1 :], out=pairs)
        place += len(pairs)
    gram[columns:] *= cosines
    return Block(gram=gram, cross=cross * lengths, lengths=lengths, fallback=fallback, share=share)
