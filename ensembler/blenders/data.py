"""The data that a blender may look at: the statistics and, streamed, the members' rows.

A fit names the folds it must not know, its `held_out`; its training rows are those of all others.
Row weights are the statistics': a row of weight 0 trains nothing, whatever its fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.apply import BlendedRows
from ensembler.blending.statistics import Statistics
from ensembler.blends.contract import Blend, Rows
from ensembler.metrics import unit_rows
from ensembler.search.space import Space
from ensembler.store.corpus import Corpus
from ensembler.store.reader import Member, Store

# Folds whose targets nothing fitted may know. (`HeldOut` of `blending.statistics` is what a search
# takes for them: also the number of a single one, and None for none.)
HeldFolds = frozenset[int]
NONE_HELD_OUT: HeldFolds = frozenset()

# How many rows of all members are held at once: fixed, so that sums do not depend on the machine.
BLOCK = 1024
BLENDED = 256  # blended rows are gone over again and again: so few stay near the processor


class RowBlock(NamedTuple):
    """Some rows of the store.

    Attributes:
        rows: (n,) int64, ascending positions.
        members: name → (n, d) float32.
    """

    rows: NDArray[np.int64]
    members: Rows


class BlendedBlock(NamedTuple):
    """Some rows of the store under a blend.

    Attributes:
        rows: (n,) int64, ascending positions.
        blended: their vectors.
    """

    rows: NDArray[np.int64]
    blended: BlendedRows


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """A store as blenders see it.

    Attributes:
        store: with targets.
        statistics: of the study's members, in its order; folds and row weights are theirs.
        space: the study on this store, which `weighted` searches.
        corpus: mean and covariance of prompts that belong to no sample, or None.
        jobs: threads.
        memo: values that `refitting.memory` computes once and keeps as long as these data; a
            `replace` of them begins with none.
    """

    store: Store
    statistics: Statistics
    space: Space
    corpus: Corpus | None = None
    jobs: int = 1
    memo: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The members, in order."""
        return self.statistics.names

    @property
    def dim(self) -> int:
        """The dimension of embeddings and targets."""
        return int(self.statistics.fold_sums.shape[1])

    def inner_folds(self, held_out: HeldFolds) -> tuple[int, ...]:
        """The folds that a fit may know, ascending."""
        return tuple(fold for fold in range(self.statistics.folds) if fold not in held_out)

    def training_rows(self, held_out: HeldFolds) -> NDArray[np.int64]:
        """(n,) int64, ascending: the rows of any weight of all folds but the held-out ones."""
        held = np.isin(self.statistics.fold, list(held_out))
        return np.flatnonzero(~held & (self.statistics.weight > 0.0))

    def fold_rows(self, fold: int) -> NDArray[np.int64]:
        """(n,) int64, ascending: the rows of one fold."""
        return np.flatnonzero(self.statistics.fold == fold)

    def priors(self, held_out: HeldFolds) -> NDArray[np.float64]:
        """(F, d) float64: the prior of each fold's rows, blind to it and to the held-out ones.

        Of unit length; zero where no other fold is left.
        """
        statistics = self.statistics
        return statistics.prior_parts(held_out) @ unit_rows(statistics.fold_sums)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, d) float64 of unit length: the targets of some rows."""
        return unit_rows(self._targets[rows])

    @cached_property
    def _targets(self) -> NDArray[np.float32]:
        return self.store.targets()

    def blocks(
        self, names: Sequence[str], rows: NDArray[np.int64], size: int = BLOCK
    ) -> Iterator[RowBlock]:
        """Some members' rows, a block at a time.

        Args:
            names: of members.
            rows: (n,) int64, ascending.
            size: how many rows a block has.
        """
        members = {name: self.store.member(name) for name in names}
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            yield RowBlock(some, {name: _taken(member, some) for name, member in members.items()})

    def blended(
        self, blend: Blend, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> Iterator[BlendedBlock]:
        """Some rows blended, each with the prior that knows neither its fold nor those held out.

        Args:
            blend: fitted without the held-out folds.
            rows: (n,) int64, ascending.
            held_out: the folds that no prior may know.
        """
        priors = self.priors(held_out)
        for block in self.blocks(blend.members, rows, BLENDED):
            own = priors[self.statistics.fold[block.rows]]
            yield BlendedBlock(block.rows, blend.apply(block.members, own))

    def cosines(
        self, blend: Blend, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        """(n,) float64: the cosine of each of some rows with its target, from the vectors."""
        found = [
            np.einsum("id,id->i", blended.vectors, self.targets(at))
            for at, blended in self.blended(blend, rows, held_out)
        ]
        return np.concatenate(found) if found else np.zeros(0)


def _taken(member: Member, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, d) some rows of a member, ascending; zero where it has none."""
    places = np.searchsorted(member.rows, rows)
    present = places < len(member.rows)
    present[present] = member.rows[places[present]] == rows[present]
    if present.all():
        return member.embeddings[places].astype(np.float32, copy=False)
    taken = np.zeros((len(rows), member.record.dim), dtype=np.float32)
    taken[present] = member.embeddings[places[present]]
    return taken
