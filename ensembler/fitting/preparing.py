"""The data that fits run on: the statistics of the members that they could choose."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.fitting.inputs import fit_statistics
from ensembler.fitting.narrowing import narrow_space
from ensembler.fitting.origin import Preselection
from ensembler.search.searching import Progress
from ensembler.search.space import Space
from ensembler.store.corpus import Corpus
from ensembler.store.reader import Store


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """A store under one folding and one set of row weights, ready to be fitted on.

    Attributes:
        data: of the members that fits could choose: all, unless the space has a limit.
        everyone: all members, each by itself: statistics without pairs; None where `data` has all.
        narrowing_s: seconds that narrowing took, the statistics of all members with them.
    """

    data: Data
    everyone: Data | None = None
    narrowing_s: float = 0.0

    @property
    def preselection(self) -> Preselection | None:
        """The number of members looked at, and of those that some selection took; None for all."""
        if self.everyone is None:
            return None
        return Preselection(looked_at=len(self.everyone.names), taken=len(self.data.names))


def prepare_data(
    store: Store,
    space: Space,
    *,
    corpus: Corpus | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    fold: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> Prepared:
    """Build or read the statistics that every fit of a study needs.

    Args:
        store: with targets.
        space: the study on it; with a limit, from `limit_members`, few of many members are kept.
        corpus: for blenders that take one, or None.
        jobs: threads that build statistics; fits themselves are left to one.
        progress: told of rows, and of steps where members are chosen.
        fold: (rows,) int64, as `fit_statistics` takes it.
        weight: (rows,) float64, as there.

    Raises:
        StoreError: as `fit_statistics` does.
    """
    begun = time.monotonic()
    statistics_of = partial(
        fit_statistics, store, jobs=jobs, progress=progress, fold=fold, weight=weight
    )
    if space.at_most is None:
        statistics = statistics_of(space)
        return Prepared(data=Data(store=store, statistics=statistics, space=space, corpus=corpus))
    everyone = Data(store=store, statistics=statistics_of(space, pairs=False), space=space)
    fewer = narrow_space(everyone, space.at_most, jobs=jobs, progress=progress)
    narrowing_s = time.monotonic() - begun
    data = Data(store=store, statistics=statistics_of(fewer), space=fewer, corpus=corpus)
    return Prepared(data=data, everyone=everyone, narrowing_s=narrowing_s)
