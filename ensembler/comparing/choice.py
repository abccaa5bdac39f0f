"""Which blend to submit: the simplest within one standard error of the best.

The rule is that of Breiman et al., Classification and Regression Trees (1984), section 3.4.3: what
the data cannot tell apart, simplicity decides. The error is that of the paired difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
