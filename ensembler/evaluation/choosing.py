"""A fit by the blender that is named, or by the one that a nested comparison chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.refitting.memory import fit_once
from ensembler.blenders.registry import parse_blender
from ensembler.errors import InputError
from ensembler.evaluation.choice import complexity
from ensembler.evaluation.comparison import Comparison, compare
from ensembler.evaluation.contestants import AUTO, every_blender
from ensembler.evaluation.estimate import counting, estimate
from ensembler.evaluation.rows import SHOWN
from ensembler.evaluation.turns import forget_all_but
from ensembler.search.searching import Progress


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """The chosen blender and its fits.

    Attributes:
        name: as the registry reads it.
        fitted: on all rows.
        cosines: (rows,) float64, held out; None where the study validates nothing.
        statuses: how the fits without each fold ended, by name; none where it validates nothing.
        comparison: with all others, where there was a choice.
    """

    name: str
    fitted: FittedBlend
    cosines: NDArray[np.float64] | None
    statuses: tuple[str, ...]
    comparison: Comparison | None


def choose_blender(
    name: str, data: Data, seed: int, *, jobs: int = 1, progress: Progress | None = None
) -> Choice:
    """Fit a blender, or each of them and take the simplest within one standard error of the best.

    The choice among blenders is made on the very rows that score them. A dozen of them, whose
    scores move together, flatter the chosen one by little; the spec keeps their names and what the
    choice is worth when it is made without each fold, and its table says so.

    Finished fits without a fold are kept, as an evaluation's are, and found again by either.

    Args:
        name: a blender, a chain, or "auto".
        data: the store under the folds of a fit.
        seed: of the fits.
        jobs: threads; the result is the same for any number.
        progress: told of each fit.

    Raises:
        InputError: an unknown blender, or a choice without a nested estimate to go by.
        StoreError: the training rows are too few.
    """
    definition = data.space.definition
    if definition.validation == "none":
        if name == AUTO:
            raise InputError(
                'choosing a blender takes held-out scores, but the study sets validation = "none";'
                ' name a blender, or set validation = "nested"'
            )
        fitted = parse_blender(name).fit(data, NONE_HELD_OUT, seed)
        return Choice(name=name, fitted=fitted, cosines=None, statuses=(), comparison=None)
    names = sorted(every_blender(definition), key=complexity) if name == AUTO else (name,)
    blenders = {each: parse_blender(each) for each in names}
    found = {}
    for place, (each, blender) in enumerate(blenders.items(), start=1):
        on_fit = counting(each, 1 + data.statistics.folds, progress)
        found[each] = estimate(
            blender, [data], seed, extremes=SHOWN, kept=True, jobs=jobs, on_fit=on_fit
        )
        forget_all_but(data, list(blenders.values())[place:])
    statistics = data.statistics
    comparison = (
        compare(found, data.store, statistics.weight, [statistics.fold], seed)
        if name == AUTO
        else None
    )
    chosen = name if comparison is None else comparison.chosen
    return Choice(
        name=chosen,
        fitted=fit_once(data, blenders[chosen], NONE_HELD_OUT, seed),
        cosines=found[chosen].cosines,
        statuses=tuple(without.status for without in found[chosen].outer[0]),
        comparison=comparison,
    )
