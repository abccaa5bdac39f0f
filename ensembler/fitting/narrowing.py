"""Stores of many members, narrowed to those that a blender of few members could choose.

`weighted:members_at_most=15` selects its members on the rows of each fit. Of all members each is
looked at by itself, and the pairs of those that are taken (`ScarcePairs`); every selection that a
nested estimate will ask for is made, and what any of them takes is kept. A selection among the kept
goes the same way as among all, since each of its steps takes the steepest of all: no fit is changed
by what was left out before it. What the blend is measured against is: baselines are of all members.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.gains import Gains
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.preselection import forward_selections, selects_centred
from ensembler.blending.pairs import ScarcePairs
from ensembler.search.searching import Progress
from ensembler.search.space import Space

MANY = 60  # members up to which the statistics of all pairs are the quickest way


def limit_members(space: Space, blender: Blender) -> Space:
    """A study's space for a blender: the same, or one of few members at a time.

    Args:
        space: of all members.
        blender: what is fitted on it.
    """
    limit = _most_members(blender)
    return space if limit is None or len(space.names) <= MANY else replace(space, at_most=limit)


def narrow_space(everyone: Data, limit: int, *, jobs: int, progress: Progress | None) -> Space:
    """The same study on the members that some fit under one folding could choose.

    Args:
        everyone: all members under that folding; statistics without pairs will do.
        limit: how many of them a fit selects at most.
        jobs: threads.
        progress: told of steps.
    """
    statistics, space = everyone.statistics, everyone.space
    pairs = ScarcePairs(everyone.store, statistics, centred=selects_centred(space), jobs=jobs)
    held_out = [NONE_HELD_OUT, *(frozenset({fold}) for fold in range(statistics.folds))]

    def on_step(step: int) -> None:
        if progress is not None:
            progress("selection", step, limit)

    kept = np.unique(np.concatenate(forward_selections(everyone, held_out, limit, pairs, on_step)))
    return space.among([space.names[member] for member in kept])


def _most_members(blender: Blender) -> int | None:
    """The most members that a blender blends, if it selects them from all; None for any number."""
    if isinstance(blender, Gains):
        return _most_members(blender.base)
    if isinstance(blender, Weighted) and blender.budget is None:
        return blender.members_at_most
    return None
