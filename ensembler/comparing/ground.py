"""A store under some foldings and row weights: what contestants of one study share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blending.statistics import Statistics
from ensembler.comparing.folding import folds_for
from ensembler.fitting.inputs import fit_statistics
from ensembler.fitting.narrowing import narrowed
from ensembler.search.searching import Progress
from ensembler.search.space import Space
from ensembler.store.corpus import Corpus
from ensembler.store.reader import Store


@dataclass(frozen=True, eq=False, kw_only=True)
class Ground:
    """Where fits stand.

    Attributes:
        store: with targets.
        foldings: of each repeat, (rows,) int64.
        weight: (rows,) float64 row weights.
        corpus: or None.
        jobs: threads that build statistics.
        progress: told of rows where they must be built; None for nobody.
    """

    store: Store
    foldings: Sequence[NDArray[np.int64]]
    weight: NDArray[np.float64]
    corpus: Corpus | None
    jobs: int
    progress: Progress | None = None
    _kept: dict[int, list[Data]] = field(default_factory=dict, repr=False)

    def repeats(self, space: Space) -> list[Data]:
        """The store under each folding, the same objects for the same space.

        Contestants that stand on one share what is computed once for a `Data`: a ridge's products
        serve every chain that has one.

        Args:
            space: one that outlives the ground.

        Raises:
            StoreError: a file is broken, or the rows are too few.
        """
        if id(space) not in self._kept:
            self._kept[id(space)] = [self._data(space, fold) for fold in self.foldings]
        return self._kept[id(space)]

    def everyone(self, space: Space) -> Statistics:
        """All members under the first folding; each by itself, where fits look at few of many.

        Args:
            space: as `repeats` takes it.
        """
        if space.at_most is None:
            return self.repeats(space)[0].statistics
        return self._statistics(space, self.foldings[0], pairs=False)

    @property
    def folds(self) -> int:
        """How many there are, in all repeats together."""
        return sum(int(fold.max()) + 1 for fold in self.foldings)

    def under(self, weight: NDArray[np.float64], of: str) -> Ground:
        """The same store under other row weights; folds of no weight are dealt anew.

        Args:
            weight: (rows,) float64.
            of: whose rows have weight, for a message: "of the other sources than 'sd'".

        Raises:
            InputError: the groups of any weight are too few.
        """
        groups = self.store.samples.group
        foldings = [folds_for(fold, groups, weight, of) for fold in self.foldings]
        return replace(self, foldings=foldings, weight=weight, _kept={})

    def _data(self, whole: Space, fold: NDArray[np.int64]) -> Data:
        space = narrowed(
            self.store,
            whole,
            jobs=self.jobs,
            progress=self.progress,
            fold=fold,
            weight=self.weight,
        ).space
        statistics = self._statistics(space, fold)
        return Data(store=self.store, statistics=statistics, space=space, corpus=self.corpus)

    def _statistics(
        self, space: Space, fold: NDArray[np.int64], *, pairs: bool = True
    ) -> Statistics:
        return fit_statistics(
            self.store,
            space,
            jobs=self.jobs,
            progress=self.progress,
            fold=fold,
            weight=self.weight,
            pairs=pairs,
        )
