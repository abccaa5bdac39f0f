"""The study's own search: on all rows, where its trials are recorded, and without each fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensembler.blending.statistics import Statistics
from ensembler.fitting.held_out import HeldOutSearch, search_held_out
from ensembler.scoring.nested import Nested
from ensembler.search.record import Record
from ensembler.search.run import Outcome
from ensembler.search.searching import Progress, scorer_of_all, search
from ensembler.search.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a study found.

    Attributes:
        outcome: on all rows.
        held_out: without each fold; None where the study validates nothing.
    """

    outcome: Outcome
    held_out: HeldOutSearch | None = None

    @property
    def nested(self) -> Nested | None:
        """The held-out cosines and weightings."""
        return self.held_out.nested if self.held_out else None

    @property
    def statuses(self) -> tuple[str, ...]:
        """How the solver ended without each fold, by name."""
        return self.held_out.statuses if self.held_out else ()


def search_study(
    space: Space, statistics: Statistics, record: Record, *, jobs: int, progress: Progress | None
) -> Searched:
    """Search on all rows, then without each fold unless the study validates nothing.

    Args:
        space: what is searched.
        statistics: of all rows.
        record: where the trials on all rows are kept.
        jobs: threads over the trials of a batch.
        progress: told of each trial and of each fold.
    """
    whole = scorer_of_all(space, statistics, jobs=jobs)
    outcome = search(
        space, statistics, np.arange(len(statistics)), None,
        record=record, jobs=jobs, progress=progress, whole=whole,
    )  # fmt: skip
    held_out = search_held_out(space, statistics, jobs=jobs, progress=progress, whole=whole)
    return Searched(outcome=outcome, held_out=held_out)
