"""The whole search repeated without each fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.scoring.nested import Nested, nested_cosines
from ensembler.search.scoring import Scorer
from ensembler.search.searching import Progress, search
from ensembler.search.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutSearch:
    """The search repeated without each fold in turn.

    Attributes:
        nested: held-out cosines and the folds' weightings.
        statuses: how the solver ended for each fold's best trial, by name.
    """

    nested: Nested
    statuses: tuple[str, ...]


def search_held_out(
    space: Space,
    statistics: Statistics,
    *,
    jobs: int,
    progress: Progress | None,
    whole: Scorer | None = None,
) -> HeldOutSearch | None:
    """Repeat the whole search without each fold, and score that fold.

    Args:
        space: what is searched.
        statistics: of all rows.
        jobs: threads over the trials of a batch.
        progress: told of each fold.
        whole: as `search` takes it.

    Returns:
        The held-out cosines; None when the study's validation is "none".
    """
    if space.definition.validation == "none":
        return None
    statuses: list[str] = []

    def fit(rows: NDArray[np.int64], held_out: int | None) -> Weighting:
        outcome = search(space, statistics, rows, held_out, jobs=jobs, whole=whole)
        statuses.append(outcome.status)
        if progress is not None:
            progress("held out", len(statuses), statistics.folds)
        return outcome.weighting

    nested = nested_cosines(statistics, fit)
    return HeldOutSearch(nested=nested, statuses=tuple(statuses))
