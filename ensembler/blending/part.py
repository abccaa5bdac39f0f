"""Part of a problem: some of its rows, under priors of their own, cut from blocks that are made.

A repeat of a search without a fold meets most candidates again, on most of the same rows. All that
its rows say of the members, their lengths and their cosines, is the same there, and knows no target
but the row's own. Only the priors must not know the fold, and come anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.problem import Block, Prior, Rows, Selection, prior_of


class _Cut(NamedTuple):
    places: NDArray[np.intp]  # within a block of the whole
    prior: Prior
    share: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Rows of a selection.

    Attributes:
        selection: the rows and who may know their targets.
        whole: has all of the rows, the same statistics and the same centring.
    """

    selection: Selection
    whole: Selection

    @cached_property
    def cuts(self) -> tuple[_Cut, ...]:
        """What to take of each block of the whole, and the priors and shares to give it."""
        statistics, mine = self.selection.statistics, self.selection.rows
        total = statistics.weight[mine].sum() or 1.0  # as in a problem
        found = []
        for rows, _ in self.whole.blocks():
            places = np.flatnonzero(np.isin(rows, mine, assume_unique=True))
            kept = rows[places]
            prior = prior_of(
                statistics, kept, self.selection.held_out, centred=self.selection.centred
            )
            found.append(_Cut(places, prior, statistics.weight[kept] / total))
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class PartialProblem:
    """A problem on part of another's rows.

    Attributes:
        part: the rows.
        whole: the problem they are part of; the unit of its columns is taken over.
    """

    part: Part
    whole: Rows

    @property
    def columns(self) -> int:
        """The number of columns K: the prior and the members."""
        return self.whole.columns

    @property
    def scale(self) -> NDArray[np.float64]:
        """(K,) mean length of each column over the rows of the whole that it covers."""
        return self.whole.scale

    def blocks(self) -> Iterator[Block]:
        """The rows in order, in the blocks of the whole."""
        return iter(self._held)

    @cached_property
    def _held(self) -> tuple[Block, ...]:
        both = zip(self.whole.blocks(), self.part.cuts, strict=True)
        return tuple(_cut(block, cut) for block, cut in both if len(cut.places))


def _cut(block: Block, cut: _Cut) -> Block:
    """Some rows of a block; of the prior only the length is kept, which all priors share."""
    columns = len(block.lengths)
    gram, cross, lengths = (
        np.take(array, cut.places, axis=1) for array in (block.gram, block.cross, block.lengths)
    )
    lengths[0] *= cut.prior.lengths
    cross[0] = cut.prior.cross * lengths[0]
    gram[0] = lengths[0] ** 2
    gram[columns : 2 * columns - 1] = lengths[0] * lengths[1:] * cut.prior.cosines
    return Block(gram=gram, cross=cross, lengths=lengths, fallback=cut.prior.cross, share=cut.share)
