"""A store under some foldings and row weights, with the data that contestants share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blending.statistics import Statistics
from ensembler.evaluation.folding import folds_for
from ensembler.fitting.preparing import Prepared, prepare_data
from ensembler.search.searching import Progress
from ensembler.search.space import Space
from ensembler.store.corpus import Corpus
from ensembler.store.reader import Store


@dataclass(frozen=True, eq=False, kw_only=True)
class Ground:
    """A store under fixed foldings and row weights; keeps the `Data` of each study.

    Attributes:
        store: with targets.
        foldings: of each repeat, (rows,) int64.
        weight: (rows,) float64 row weights.
        corpus: or None.
        jobs: threads that build statistics, and fit without one fold each.
        progress: told of rows where statistics must be built, and of fits; None for nobody.
    """

    store: Store
    foldings: Sequence[NDArray[np.int64]]
    weight: NDArray[np.float64]
    corpus: Corpus | None
    jobs: int
    progress: Progress | None = None
    # By the id of a space, which what is prepared holds: no other space can have it meanwhile.
    _prepared: dict[int, list[Prepared]] = field(default_factory=dict, init=False, repr=False)

    def repeats(self, space: Space) -> list[Data]:
        """The store under each folding, the same objects for the same space.

        Contestants that stand on one share what is computed once for a `Data`: a ridge's products
        serve every chain that has one.

        Args:
            space: of a study; two that are equal but not the same share nothing.

        Raises:
            StoreError: a file is broken, or the rows are too few.
        """
        return [prepared.data for prepared in self._of(space)]

    def everyone(self, space: Space) -> Statistics:
        """All members under the first folding; each by itself, where fits look at few of many.

        Args:
            space: as `repeats` takes it.
        """
        first = self._of(space)[0]
        return (first.everyone or first.data).statistics

    @property
    def folds(self) -> int:
        """The number of folds, in all repeats together."""
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
        return replace(self, foldings=foldings, weight=weight)

    def _of(self, space: Space) -> list[Prepared]:
        """A study under each folding, prepared once."""
        if id(space) not in self._prepared:
            self._prepared[id(space)] = [
                prepare_data(
                    self.store,
                    space,
                    corpus=self.corpus,
                    jobs=self.jobs,
                    progress=self.progress,
                    fold=fold,
                    weight=self.weight,
                )
                for fold in self.foldings
            ]
        return self._prepared[id(space)]
