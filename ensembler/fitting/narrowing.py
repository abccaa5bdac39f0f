"""Stores of many members: whole statistics of those alone that a limited blender could choose.

`weighted:members_at_most=15` selects its members on the rows of each fit. Of all members each is
looked at by itself, and the pairs of those that are taken (`ScarcePairs`); every selection that a
nested estimate will ask for is made, and what any of them takes is kept. A selection among the kept
goes the same way as among all, since each of its steps takes the steepest of all: no fit is changed
by what was left out before it. What the blend is measured against is: baselines are of all members.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import NOTHING, Data
from ensembler.blenders.gains import Gains
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.preselection import centred_in, forward_selections
from ensembler.blending.pairs import ScarcePairs
from ensembler.fitting.inputs import fit_statistics
from ensembler.search.searching import Progress
from ensembler.search.space import Space
from ensembler.store.reader import Store

MANY = 60  # members up to which the statistics of all pairs are the quickest way


@dataclass(frozen=True, eq=False, kw_only=True)
class Narrowed:
    """A study's space, and what it was taken from.

    Attributes:
        space: of the members that fits could choose.
        everyone: all members, each by itself: statistics without pairs; None where none had to be
            left out.
        seconds: that the selections took, the statistics of all members with them.
    """

    space: Space
    everyone: Data | None = None
    seconds: float = 0.0

    def provenance(self) -> dict[str, dict[str, int]]:
        """What a spec tells: how many were looked at, how many of them some selection took."""
        if self.everyone is None:
            return {}
        counts = {"looked_at": len(self.everyone.names), "taken": len(self.space.names)}
        return {"preselection": counts}


def limited(space: Space, blender: Blender) -> Space:
    """A study's space for a blender: the same, or one of few members at a time.

    Args:
        space: of all members.
        blender: what is fitted on it.
    """
    limit = _most_members(blender)
    return space if limit is None or len(space.names) <= MANY else replace(space, at_most=limit)


def narrowed(
    store: Store,
    space: Space,
    *,
    jobs: int,
    progress: Progress | None,
    fold: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> Narrowed:
    """The space of the members that fits under one folding could choose.

    Args:
        store: with targets.
        space: from `limited`; one without a limit stays as it is.
        jobs: threads.
        progress: told of rows, then of steps.
        fold: as `fit_statistics` takes it.
        weight: as there.

    Raises:
        StoreError: as `fit_statistics` does.
    """
    if space.at_most is None:
        return Narrowed(space=space)
    begun = time.monotonic()
    alone = fit_statistics(
        store, space, jobs=jobs, progress=progress, fold=fold, weight=weight, pairs=False
    )
    data = Data(store=store, statistics=alone, space=space)
    pairs = ScarcePairs(store, alone, centred=centred_in(space), jobs=jobs)
    asides = [NOTHING, *(frozenset({held}) for held in range(alone.folds))]
    limit = space.at_most

    def told(step: int) -> None:
        if progress is not None:
            progress("selection", step, limit)

    kept = np.unique(np.concatenate(forward_selections(data, asides, limit, pairs, told)))
    return Narrowed(
        space=space.among([space.names[member] for member in kept]),
        everyone=data,
        seconds=time.monotonic() - begun,
    )


def _most_members(blender: Blender) -> int | None:
    """How many members a blender blends at most, if it selects them from all; None for any."""
    if isinstance(blender, Gains):
        return _most_members(blender.base)
    if isinstance(blender, Weighted) and blender.budget is None:
        return blender.members_at_most
    return None
