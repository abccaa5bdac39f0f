"""Contributions of members: losses without each, paths, how alike members err."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ensembler.blenders.data import Data
from ensembler.blending.statistics import Statistics
from ensembler.blending.weighting import weighting_cosines
from ensembler.evaluation.estimate import PlainWeights
from ensembler.evaluation.paths import Step, drop_weakest, take_strongest, walk
from ensembler.scoring.contributions import losses_without
from ensembler.scoring.nested import Nested
from ensembler.search.searching import without_member


@dataclass(frozen=True, eq=False, kw_only=True)
class Contributions:
    """Contributions of members to the weighted blend.

    Attributes:
        losses: member → held-out score lost when it is left out and the others are solved again.
        correlations: member → member → correlation of their errors over the rows both cover; None
            where they share fewer than two.
        drop: from all members to one.
        take: from one member to all.
    """

    losses: Mapping[str, float]
    correlations: Mapping[str, Mapping[str, float | None]]
    drop: tuple[Step, ...]
    take: tuple[Step, ...]


def contributions(data: Data, weights: PlainWeights, seed: int) -> Contributions:
    """Measure what members contribute to the weighted blend.

    Args:
        data: under the first folding.
        weights: the blend's.
        seed: of the intervals.
    """
    statistics, space = data.statistics, data.space
    cosines = np.empty(len(statistics))
    for fold, weighting in enumerate(weights.without):
        rows = data.fold_rows(fold)
        cosines[rows] = weighting_cosines(statistics, weighting, rows, fold)
    losses = losses_without(
        statistics,
        Nested(cosines=cosines, weightings=weights.without),
        lambda weighting, problem, member: without_member(space, weighting, problem, member),
    )
    drop, take = (walk(walker, data, weights, seed) for walker in (drop_weakest, take_strongest))
    return Contributions(
        losses={name: float(losses[m]) for m, name in enumerate(statistics.names)},
        correlations=error_correlations(statistics),
        drop=drop,
        take=take,
    )


def error_correlations(statistics: Statistics) -> dict[str, dict[str, float | None]]:
    """Pearson's correlation of members' errors, 1 - cosine, over the rows that both cover.

    None where they share fewer than two rows, or one of them errs alike on all.
    """
    present, cross = statistics.raw.lengths > 0.0, statistics.raw.cross
    table: dict[str, dict[str, float | None]] = {}
    for m, name in enumerate(statistics.names):
        table[name] = {}
        for other, other_name in enumerate(statistics.names):
            both = present[:, m] & present[:, other]
            first, second = cross[both, m], cross[both, other]
            tells = len(first) > 1 and first.std() > 0.0 and second.std() > 0.0
            table[name][other_name] = float(np.corrcoef(first, second)[0, 1]) if tells else None
    return table
