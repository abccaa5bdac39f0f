"""The choice of the blend to submit: the simplest within one standard error of the best.

The rule is that of Breiman et al., Classification and Regression Trees (1984), section 3.4.3: what
the data cannot tell apart, simplicity decides. The error is that of the paired difference.

With few groups the error is itself a rough estimate. Requiring a proven lead instead, by the
interval, does worse: on 8, 14, 20 and 30 groups drawn from ten real members (four or five draws
each), its choices scored .016, .010, .003 and .001 less on all other groups than those by the
error. These were .005, .002, .002 and 0 below the best blend, and .005 to .012 above `weighted`.
So the rule is the same for any number of groups, and the table says when there are few.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.scoring.intervals import GroupBootstrap

# From the fewest to the most numbers fitted; a chain is as complex as all its parts together.
SIMPLEST_FIRST = (
    "uniform", "single_best", "fixed", "greedy", "weighted", "gated", "gains", "kernel", "ridge",
    "nested",
)  # fmt: skip


def complexity(blender: str) -> tuple[int, ...]:
    """A key that sorts blenders by complexity; unknown ones count as the most complex.

    Args:
        blender: its name, as in "weighted:shrinkage=auto+ridge" or "nested(greedy, weighted)".
    """
    known = {name: place for place, name in enumerate(SIMPLEST_FIRST)}
    outermost = re.sub(r"\(.*\)", "", blender)  # what stands in brackets are another's children
    names = (part.partition(":")[0] for part in outermost.split("+"))
    return tuple(sorted((known.get(name, len(known)) for name in names), reverse=True))


def choose(
    cosines: Mapping[str, NDArray[np.float64]],
    blenders: Mapping[str, str],
    bootstrap: GroupBootstrap,
) -> str:
    """The name of the simplest blend within one standard error of the best.

    Args:
        cosines: (rows,) held-out cosines of each blend on the same rows.
        blenders: what makes each blend, as `complexity` takes it; of equals the better one wins.
        bootstrap: the draws.
    """
    best_first = sorted(cosines, key=lambda name: -bootstrap.mean(cosines[name]))
    best = best_first[0]

    def is_close(name: str) -> bool:
        behind = cosines[best] - cosines[name]
        return bootstrap.mean(behind) <= bootstrap.standard_error(behind)

    return min(filter(is_close, best_first), key=lambda name: complexity(blenders[name]))


def choice_held_out(
    cosines: Mapping[str, NDArray[np.float64]],
    blenders: Mapping[str, str],
    groups: NDArray[np.str_],
    weight: NDArray[np.float64],
    foldings: Sequence[NDArray[np.int64]],
    seed: int,
) -> NDArray[np.float64]:
    """Held-out cosines of the choice itself: made without each fold's scores, scored on it.

    A choice by scores flatters the chosen one on the same rows. Here the rows that score a choice
    have no part in it, as far as that is to be had without fitting anything again: the blends that
    other folds choose among were fitted on this one's rows as well.

    Args:
        cosines: (rows,) held-out cosines of each blend on the same rows.
        blenders: as for `choose`.
        groups: (rows,) text.
        weight: (rows,) float64; each fold and what is left without it have some.
        foldings: of each repeat, (rows,) int64.
        seed: of the draws.

    Returns:
        (rows,) float64, each row's mean over the repeats.
    """
    total = np.zeros(len(weight))
    for folding in foldings:
        for fold in range(int(folding.max()) + 1):
            own, others = folding == fold, folding != fold
            bootstrap = GroupBootstrap(groups[others], weight[others], seed)
            known = {name: values[others] for name, values in cosines.items()}
            total[own] += cosines[choose(known, blenders, bootstrap)][own]
    return total / len(foldings)
