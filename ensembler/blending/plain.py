"""Building statistics with NumPy alone: batched products over blocks that stay in the cache."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.priors import fold_sums
from ensembler.blending.rules import CANCELLED
from ensembler.blending.sources import Block, Means, Sources, Sums
from ensembler.blending.statistics import SAFE_SQUARES, Precision
from ensembler.metrics import unit_rows

BLOCK = 64  # rows of one batched product: the members' vectors of a block stay in the cache


class PlainEngine:
    """Both passes with NumPy, in either precision.

    Args:
        sources: what is streamed.
        precision: of the products and of the cosines between members.
        pairs: whether there are any; the statistics of each member by itself cost far less.
    """

    def __init__(self, sources: Sources, precision: Precision, *, pairs: bool = True) -> None:
        self._sources = sources
        self._precision = precision
        self._pairs = pairs

    def sums(self, rows: range) -> Sums:
        """The first pass over some rows."""
        sources = self._sources
        sums = Sums.zeros(len(sources.members), sources.folds, sources.targets.shape[1])
        for m, member in enumerate(sources.members):
            first, last = np.searchsorted(member.rows, (rows.start, rows.stop))
            for low in range(first, last, BLOCK):  # short float32 sums, added up in float64
                high = min(low + BLOCK, last)
                values = np.asarray(member.embeddings[low:high]).astype(np.float32, copy=False)
                counts = sources.weight[member.rows[low:high]] > 0.0
                values = values if counts.all() else values[counts]
                with np.errstate(over="ignore", invalid="ignore"):  # told when all is summed
                    sums.total[m] += values.sum(axis=0)
                begun = values[:, 0] != 0.0  # most rows need no look at their other numbers
                sums.present[m] += np.count_nonzero(begun)
                sums.present[m] += np.count_nonzero(values[~begun].any(axis=1))
        part = slice(rows.start, rows.stop)
        sums.targets[:] = fold_sums(
            sources.targets[part], sources.weight[part], sources.fold[part], sources.folds
        )
        return sums

    def fill(self, rows: range, means: Means, block: Block) -> None:
        """The second pass: write the statistics of some rows into a block of theirs."""
        members, dim = means.members.shape
        columns = members + 1 + len(means.directions)
        memory = np.empty((min(BLOCK, len(rows)), columns, dim), dtype=self._precision)
        memory[:, members + 1 :] = means.directions
        mean_lengths = np.linalg.norm(means.members.astype(np.float64), axis=1)
        first = 0 if self._pairs else members
        for low in range(0, len(rows), BLOCK):
            part = slice(low, min(low + BLOCK, len(rows)))
            vectors = memory[: part.stop - low]
            start = rows.start + low
            target = unit_rows(self._sources.targets[start : start + len(vectors)])
            block["target_cosines"][part] = target @ means.directions.T
            vectors[:, members] = target
            for m, member in enumerate(self._sources.members):
                member.read_into(vectors[:, m], start)
            raw = _products(vectors, members, first)
            _write(block, "raw", part, raw)
            vectors[:, :members] -= means.members
            vectors[:, :members][raw.lengths == 0.0] = 0.0
            centred = _products(vectors, members, first)
            # What centring leaves of a member that hardly varies is rounding: it counts as absent.
            left = centred.lengths > CANCELLED * (raw.lengths + mean_lengths)
            lengths = np.where(left, centred.lengths, 0.0)
            _write(block, "centred", part, centred._replace(lengths=lengths))


class _Products(NamedTuple):
    """Inner products of a block's rows, in units that neither under- nor overflow.

    Attributes:
        gram: (n, M, K) of the members with themselves, if pairs are wanted, then the target and
            the directions.
        lengths: (n, M) float64 of the members; 0 where absent.
        unit: (n, M) float64, what each member was divided by for the products.
    """

    gram: NDArray[np.floating]
    lengths: NDArray[np.float64]
    unit: NDArray[np.float64]


def _products(vectors: NDArray[np.floating], members: int, first: int) -> _Products:
    gram, squares = _multiply(vectors, members, first)
    unit = np.ones_like(squares)
    low, high = SAFE_SQUARES
    unsafe = ~((squares > low) & (squares < high))
    if unsafe.any():
        largest = np.abs(vectors[:, :members][unsafe]).max(axis=1)
        unit[unsafe] = np.exp2(np.frexp(largest)[1])  # a power of two: dividing by it is exact
    if (unit != 1.0).any():
        vectors = vectors.copy()
        vectors[:, :members] /= unit[:, :, None]
        gram, squares = _multiply(vectors, members, first)
    return _Products(gram, np.sqrt(squares) * unit, unit)


def _multiply(
    vectors: NDArray[np.floating], members: int, first: int
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """The members' products with all columns from the first on, and their squares in float64."""
    own = vectors[:, :members]
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is done again
        gram = own @ vectors[:, first:].transpose(0, 2, 1)
        if first:
            squares = np.einsum("imd,imd->im", own, own)
        else:
            squares = np.einsum("imm->im", gram[:, :, :members])
    return gram, squares.astype(np.float64)


def _write(block: Block, centring: str, rows: slice, products: _Products) -> None:
    """Scale one block's products to cosines and write them under one centring."""
    gram, lengths, unit = products
    members, folds = lengths.shape[1], block[f"{centring}.fold_cosines"].shape[2]
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    inverse *= unit
    if block[f"{centring}.cosines"].shape[1]:
        first, second = np.triu_indices(members, 1)
        pairs = np.take(gram.reshape(len(gram), -1), first * gram.shape[2] + second, axis=1)
        block[f"{centring}.cosines"][rows] = pairs * (inverse[:, first] * inverse[:, second])
    block[f"{centring}.cross"][rows] = gram[:, :, -folds - 1] * inverse
    block[f"{centring}.lengths"][rows] = lengths
    block[f"{centring}.fold_cosines"][rows] = gram[:, :, -folds:] * inverse[:, :, None]
