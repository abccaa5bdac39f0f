"""Rows that stand apart, next to their targets: a leak in a part of a member.

Honest rows thin out towards their targets. A leak leaves a heap there, and a gap below it that
chance would not. Each of these makes an honest heap, which is not a finding: a sample of another
fold has nearly the same target, as near-duplicate prompts do; the rows are easy for the other
members too; most rows are near, and those below failed.

Found, of 40 draws each, with a part of the rows at that mean cosine (distances spread by e^±.3; by
e^±.8 in brackets): in the ten captioners of VIEScore, and in 200 rows of .6 to .9 without others.

    cosine                    .98         .985        .99         .995         .997
    captioners, 5 %      .82 (.05)  1.00 (.53)   .97 (.68)  1.00 (.98)  1.00 (1.00)
    captioners, 20 %     .82 (.00)   .88 (.03)  1.00 (.33)  1.00 (.93)  1.00 (1.00)
    200 rows, 10 %       .73 (.10)  1.00 (.30)  1.00 (.63)  1.00 (1.00) 1.00 (1.00)

In neighbour searches over DiffusionDB's prompts, near-duplicates included, 5 % of the rows at .997
are found nine times in ten, at .99 four. Accused are none of 240 such searches, none of the ten
captioners, and 2 of 4,800 generated members of twelve honest kinds, from 2 dimensions to 128.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import first_few
from ensembler.store.audit.finding import SAME, Finding, Kind
from ensembler.store.audit.leak import QUOTED_SHARE
from ensembler.store.audit.survey import Survey, blocks, cosines_by_sample, finite_targets
from ensembler.store.reader import Samples

NEAR: Final = 0.95  # the cosine that all rows of a heap exceed
GAP: Final = math.log(2.0)  # of log distances: the next row is at least twice as far
# Groups in the heap times the gap: where chance alone thins out the rows, e^-(half of it).
SURE: Final = 20.0
MOST: Final = 0.5  # of the usable rows; a larger heap is what a good member is
TWIN: Final = 4.0  # a target so many times as far explains a row: a mean is nearer than its parts
LOOKED: Final = 256  # rows of the heap, spread evenly, that twins are sought for
HARDER: Final = 0.25  # of the heap, below the others' median: of rows that leaked at random, half


def find_cluster(
    seen: Survey, others: Sequence[Survey], targets: NDArray[np.float32], samples: Samples
) -> Finding | None:
    """Find a heap of rows near their targets, with a gap below it that nothing honest explains.

    Args:
        seen: a member of a store with targets.
        others: all other members.
        targets: (samples, d) float32 of unit length.
        samples: the store's rows.

    Returns:
        The finding; None for an honest member.
    """
    own = cosines_by_sample(seen, len(samples))
    rows = np.flatnonzero(np.isfinite(own))
    rows = rows[np.argsort(-own[rows], kind="stable")]
    heap, gap = _heap(own[rows], samples.group[rows])
    if heap < max(1.0, QUOTED_SHARE * len(rows)) or heap > MOST * len(rows):
        return None
    suspects = rows[np.unique(np.linspace(0, heap - 1, LOOKED).astype(np.int64))]
    alone = suspects[~_has_twin(suspects, _distance(own[suspects]), targets, samples)]
    groups = len(np.unique(samples.group[rows[:heap]])) * len(alone) / len(suspects)
    if groups * gap < SURE or _are_easy(alone, others, len(samples)):
        return None
    return Finding(
        kind=Kind.LEAK,
        member=seen.member.name,
        rows=heap,
        message=f"{heap} of {len(rows)} rows stand apart, at a cosine of {own[rows[heap - 1]]:.3f}"
        f" or more with their target, where the next has {own[rows[heap]]:.3f} (ids"
        f" {first_few(samples.id[alone], 3)}): has it seen the prompts? Look at these rows; predict"
        " them without the prompts and add the member again, or remove it",
    )


def _heap(cosine: NDArray[np.float64], group: NDArray[np.str_]) -> tuple[int, float]:
    """The surest heap: how many rows from the first, and the gap below it.

    Among honest rows the log of the distance thins out at least as fast as it does in the plane, at
    a rate of one half: n rows then end in a gap of g with a probability of e^-(n g / 2). Rows of
    one group count once.

    Args:
        cosine: (rows,) float64, descending.
        group: (rows,) of theirs.
    """
    near = min(int((cosine > NEAR).sum()), len(cosine) - 1)
    if near < 1:
        return 0, 0.0
    _, first = np.unique(group[:near], return_index=True)
    groups = np.cumsum(np.isin(np.arange(near), first))
    gaps = np.diff(np.log(_distance(cosine[: near + 1])))
    sure = np.where(gaps >= GAP, groups * gaps, 0.0)
    best = int(sure.argmax())
    return (best + 1, float(gaps[best])) if sure[best] >= SURE else (0, 0.0)


def _has_twin(
    rows: NDArray[np.int64],
    distance: NDArray[np.float64],
    targets: NDArray[np.float32],
    samples: Samples,
) -> NDArray[np.bool_]:
    """Whether another sample's target explains how near each row is to its own.

    Args:
        rows: (n,) int64, samples.
        distance: (n,) float64, the member's from the targets there.
        targets: (samples, d) float32 of unit length.
        samples: a member knows those of other folds, and of no fold those of other groups.

    Returns:
        (n,) bool.
    """
    own, nearest = finite_targets(targets, rows), np.full(len(rows), -1.0)
    fold, group = samples.fold[rows, None], samples.group[rows, None]
    for block in blocks(len(samples)):
        alike = own @ finite_targets(targets, np.arange(block.start, block.stop)).T
        unseen = (fold == samples.fold[block]) & (fold >= 0) | (group == samples.group[block])
        alike[unseen] = -1.0
        nearest = np.maximum(nearest, alike.max(axis=1))
    return np.asarray(1.0 - nearest <= TWIN * distance)


def _are_easy(rows: NDArray[np.int64], others: Sequence[Survey], samples: int) -> bool:
    """Whether the other members, by their median, find nearly all of these rows easy."""
    table = np.array([cosines_by_sample(other, samples) for other in others])
    there = np.isfinite(table).any(axis=0) if len(table) else np.zeros(samples, dtype=np.bool_)
    rows = rows[there[rows]]
    if not len(rows):
        return False
    usual = np.nanmedian(table[:, there], axis=0)
    harder = np.nanmedian(table[:, rows], axis=0) <= np.median(usual)
    return bool(harder.mean() < HARDER)


def _distance(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """One minus the cosine; vectors that are practically one are all alike."""
    return np.maximum(1.0 - cosine, 1.0 - SAME)
