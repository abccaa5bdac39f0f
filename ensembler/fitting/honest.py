"""The numbers beside a blend: held out, against baselines, member by member."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import Weighting
from ensembler.evaluation.baselines import baseline_fits
from ensembler.evaluation.contributions import alone, losses_without
from ensembler.evaluation.intervals import GroupBootstrap
from ensembler.evaluation.nested import Nested, nested_cosines
from ensembler.fitting.inputs import Progress
from ensembler.fitting.searching import search, without_member
from ensembler.search.space import Space
from ensembler.spec.model import Baselines, Difference, HeldOut, MemberScore, Scores

LEAK_COSINE = 0.999  # a row this close to its target was not predicted
LEAK_SHARE = 0.01  # of a member's rows; a captioner may hit a short prompt now and then


def honest_scores(
    space: Space,
    statistics: Statistics,
    groups: NDArray[np.str_],
    in_sample: float,
    *,
    jobs: int,
    progress: Progress | None,
) -> Scores:
    """Score the study itself: the whole search again without each fold, on that fold.

    Args:
        space: of the study.
        statistics: of all rows.
        groups: (rows,) text.
        in_sample: the frozen blend's score on the rows that chose it.
        jobs: threads.
        progress: told of each fold.

    Returns:
        All scores of a spec; without held-out ones when the study's validation is "none".
    """
    rows, means = alone(statistics)
    losses: list[float | None] = [None] * len(rows)
    held_out = baselines = None
    if space.definition.validation == "nested":
        nested = _nested(space, statistics, jobs, progress)
        losses = list(
            losses_without(statistics, nested, partial(without_member, space, statistics))
        )
        held_out, baselines = _versus(statistics, groups, nested, space.definition.seed)
    return Scores(
        in_sample=in_sample,
        held_out=held_out,
        baselines=baselines,
        members={
            name: MemberScore(rows=int(rows[m]), alone=float(means[m]), loss_without=losses[m])
            for m, name in enumerate(statistics.names)
        },
        rows=len(statistics),
        groups=len(np.unique(groups)),
        folds=statistics.folds,
    )


def leak_warnings(statistics: Statistics) -> tuple[str, ...]:
    """A sentence for each member that seems to know its targets."""
    found = []
    for m, name in enumerate(statistics.names):
        known = int((statistics.raw.cross[:, m] > LEAK_COSINE).sum())
        covered = int((statistics.raw.lengths[:, m] > 0.0).sum())
        if known > LEAK_SHARE * covered:
            found.append(
                f"member {name!r} equals its target in {known} of {covered} rows: a leak?"
                " `ensembler store audit` tells more"
            )
    return tuple(found)


def _nested(space: Space, statistics: Statistics, jobs: int, progress: Progress | None) -> Nested:
    def fit(rows: NDArray[np.int64], held_out: int | None) -> Weighting:
        weighting = search(space, statistics, rows, held_out, jobs=jobs).weighting
        if progress is not None and held_out is not None:
            progress("held out", held_out + 1, statistics.folds)
        return weighting

    return nested_cosines(statistics, fit)


def _versus(
    statistics: Statistics, groups: NDArray[np.str_], nested: Nested, seed: int
) -> tuple[HeldOut, Baselines]:
    bootstrap = GroupBootstrap(groups, statistics.weight, seed)
    scores, versus = {}, {}
    for name, fit in baseline_fits(statistics).items():
        cosines = nested_cosines(statistics, fit).cosines
        lead = nested.cosines - cosines
        scores[name] = bootstrap.mean(cosines)
        versus[name] = Difference(
            difference=bootstrap.mean(lead), interval=bootstrap.interval(lead)
        )
    held_out = HeldOut(
        score=bootstrap.mean(nested.cosines),
        interval=bootstrap.interval(nested.cosines),
        versus=versus,
    )
    return held_out, Baselines(**scores)
