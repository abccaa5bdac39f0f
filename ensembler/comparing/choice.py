"""Which blend to submit: the simplest within one standard error of the best.

The rule is that of Breiman et al., Classification and Regression Trees (1984), section 3.4.3: what
the data cannot tell apart, simplicity decides. The error is that of the paired difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ensembler.evaluation.intervals import GroupBootstrap

# From the fewest to the most numbers fitted; a chain is as complex as all its parts together.
SIMPLEST_FIRST = (
    "uniform", "single_best", "fixed", "greedy", "weighted", "gated", "gains", "kernel", "ridge",
    "nested",
)  # fmt: skip


def complexity(blender: str) -> tuple[int, ...]:
    """What to sort blenders by; strangers count as the most complex.

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
    """The simplest blend that the best one does not beat by more than one standard error.

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
    """What the choice itself is worth: made without each fold's scores, scored on it.

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
