"""Leaving a source out: every contestant fitted on the others, and scored on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ensembler.evaluation.contestants import Contestant
from ensembler.evaluation.estimate import counting, hold_out
from ensembler.evaluation.ground import Ground
from ensembler.evaluation.shift import LeftOut, own_means_cosines
from ensembler.evaluation.turns import in_turn


def leave_source_out(
    source: str,
    ground: Ground,
    entrants: Mapping[str, Contestant],
    known: Mapping[str, NDArray[np.float64]],
) -> LeftOut:
    """Score a source with blends that were fitted on the others.

    A row of the source is scored without its fold as well, so that nothing knows its group.

    Args:
        source: one of the samples'.
        ground: with the source, under the store's own row weights.
        entrants: by name.
        known: (rows,) held-out cosines of each, the source fitted, under the same row weights.

    Raises:
        InputError: without the source the groups are too few.
    """
    samples = ground.store.samples
    rows = samples.source == source
    weight = np.where(rows, 0.0, samples.weight)
    others = ground.under(weight, f"of the other sources than {source!r}")
    scores, own_means = {}, {}
    for name, entrant in in_turn(entrants, others):
        repeats = others.repeats(entrant.space)
        on_fit = counting(f"without {source}: {name}", others.folds, others.progress)
        held = hold_out(
            entrant.blender, repeats, entrant.seed, kept=True, jobs=others.jobs, on_fit=on_fit
        )
        scores[name] = _mean(held.cosines[rows], samples.weight[rows])
        own = own_means_cosines(repeats, held.weightings, rows)
        if own is not None:
            own_means[name] = _mean(own, samples.weight[rows])
    return LeftOut(
        source=source,
        rows=int(rows.sum()),
        scores=scores,
        known={name: _mean(known[name][rows], samples.weight[rows]) for name in entrants},
        own_means=own_means,
    )


def _mean(cosines: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    return float(np.average(cosines, weights=weight))
