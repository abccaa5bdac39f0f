"""Warnings about a fit, a sentence each: what to look at before its scores are trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ensembler.blenders.data import Data
from ensembler.blending.statistics import Statistics
from ensembler.fitting.statuses import remark
from ensembler.folds import why_dealt_anew
from ensembler.store.audit.finding import SAME
from ensembler.store.audit.leak import LEAK_SHARE
from ensembler.store.reader import Samples

FEW_ROWS = 10  # a weight that hangs on fewer rows is an accident


def caveats(data: Data, status: str, statuses: Sequence[str] = ()) -> tuple[str, ...]:
    """Warnings about a fit that its numbers do not show.

    Args:
        data: what was fitted on.
        status: how the fit on all rows ended, by name.
        statuses: how the fits without each fold ended, by name; none where nothing is held out.

    Returns:
        Sentences without a full stop; none for a fit without a blemish.
    """
    return (
        *_dealt_anew(data.store.samples),
        *_unconverged("on all rows", status),
        *(
            sentence
            for fold, ended in enumerate(statuses)
            for sentence in _unconverged(f"without fold {fold}", ended)
        ),
        *_leaks(data.statistics),
        *_hardly_tested(data.statistics),
    )


def _dealt_anew(samples: Samples) -> Iterator[str]:
    reason = why_dealt_anew(samples.fold, samples.group)
    if reason is not None:
        yield f"folds: dealt anew, because {reason}; `ensembler store audit` tells more"


def _unconverged(where: str, status: str) -> Iterator[str]:
    said = remark(status)
    if said is not None:
        yield f"the fit {where}: {said}"


def _leaks(statistics: Statistics) -> Iterator[str]:
    """Members that seem to know their targets, by the criterion of `ensembler store audit`."""
    for m, name in enumerate(statistics.names):
        known = int((statistics.raw.cross[:, m] > SAME).sum())
        covered = int((statistics.raw.lengths[:, m] > 0.0).sum())
        if known and known >= LEAK_SHARE * covered:
            yield (
                f"member {name!r} equals its target in {known} of {covered} rows: a leak?"
                " `ensembler store audit` tells more"
            )


def _hardly_tested(statistics: Statistics) -> Iterator[str]:
    """Members whose rows are few, or all in one fold: none is left to fit on or to score."""
    for m, name in enumerate(statistics.names):
        covered = statistics.raw.lengths[:, m] > 0.0
        rows, folds = int(covered.sum()), len(np.unique(statistics.fold[covered]))
        if rows < FEW_ROWS or folds < 2:
            have = "1 row" if rows == 1 else f"{rows} rows"
            yield (
                f"member {name!r} has {have} in {folds} of {statistics.folds} folds:"
                " its weight is hardly tested; add more of its rows, or leave it out"
            )
