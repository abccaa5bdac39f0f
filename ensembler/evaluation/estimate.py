"""A blender's honest score: the whole fit repeated without each fold, over several foldings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.refitting.memory import fit_once
from ensembler.blenders.weights.fitted import FittedWeights
from ensembler.blending.build import in_order
from ensembler.blending.weighting import Weighting
from ensembler.evaluation.finished import Finished, Fit, cache_fits
from ensembler.evaluation.rows import extremes_of_fold
from ensembler.search.searching import Progress

OnFit = Callable[[], None]  # called after each fit
Task = tuple[Data, HeldFolds]


def _silent() -> None:
    """Progress that nobody watches."""


def counting(stage: str, total: int, progress: Progress | None) -> OnFit:
    """A callback that reports a stage's progress, one fit at a time.

    Args:
        stage: its name.
        total: how many fits it has.
        progress: or None.
    """
    done = 0

    def count_fit() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(stage, done, total)

    return count_fit


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOutFits:
    """Held-out results, by repeat and fold.

    Attributes:
        cosines: (rows,) float64, each row's mean over the repeats, always under a fit that saw no
            target of its group.
        first: (rows,) float64, the same under the first folding alone.
        outer: for each repeat, the fits without each fold, in order.
    """

    cosines: NDArray[np.float64]
    first: NDArray[np.float64]
    outer: tuple[tuple[Finished, ...], ...]

    @property
    def weightings(self) -> tuple[tuple[Weighting | None, ...], ...]:
        """The weights of each repeat and fold; None where the blend is more than weights."""
        return tuple(tuple(fit.weighting for fit in without) for without in self.outer)


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate(HeldOutFits):
    """Results of one blender: held out, and of the fit on all rows.

    Attributes:
        blender: its name, options and all.
        fitted: on all rows.
    """

    blender: str
    fitted: Finished


class PlainWeights(NamedTuple):
    """Weights of a blender of plain weights, under the first folding.

    Attributes:
        on_all: on all rows.
        without: without each fold, in order.
    """

    on_all: Weighting
    without: tuple[Weighting, ...]


def plain_weights(found: Estimate) -> PlainWeights:
    """The plain weights that an estimate found.

    Raises:
        TypeError: its blender is not one of plain weights.
    """
    on_all = found.fitted.weighting
    without = [weighting for weighting in found.weightings[0] if weighting is not None]
    if on_all is None or len(without) < len(found.outer[0]):
        raise TypeError(f"{found.blender} is more than weights")
    return PlainWeights(on_all, tuple(without))


def estimate(
    blender: Blender,
    repeats: Sequence[Data],
    seed: int,
    *,
    extremes: int = 0,
    kept: bool = False,
    jobs: int = 1,
    on_fit: OnFit = _silent,
) -> Estimate:
    """Fit a blender on all rows, and without each fold of each repeat.

    Args:
        blender: what is fitted.
        repeats: the same store under one folding each.
        seed: of the fits.
        extremes: number of each fold's worst rows, and of its best, to keep.
        kept: look fits up that were finished before, and keep those that are finished now.
        jobs: threads over folds; the result is the same for any number.
        on_fit: called after each fit.

    Raises:
        StoreError: the training rows are too few.
    """
    fit = _fit(blender, seed, extremes, kept=kept)
    tasks = [(repeats[0], NONE_HELD_OUT), *_without_each_fold(repeats)]
    fitted, *without = _finished(fit, tasks, jobs, on_fit)
    held = _put_together(repeats, without)
    return Estimate(
        blender=blender.name,
        cosines=held.cosines,
        first=held.first,
        fitted=fitted,
        outer=held.outer,
    )


def hold_out(
    blender: Blender,
    repeats: Sequence[Data],
    seed: int,
    *,
    extremes: int = 0,
    kept: bool = False,
    jobs: int = 1,
    on_fit: OnFit = _silent,
) -> HeldOutFits:
    """Fit a blender without each fold of each repeat; the arguments are those of `estimate`."""
    fit = _fit(blender, seed, extremes, kept=kept)
    return _put_together(repeats, _finished(fit, _without_each_fold(repeats), jobs, on_fit))


def _without_each_fold(repeats: Sequence[Data]) -> list[Task]:
    return [(data, frozenset({fold})) for data in repeats for fold in range(data.statistics.folds)]


def _finished(fit: Fit, tasks: Sequence[Task], jobs: int, on_fit: OnFit) -> list[Finished]:
    """Run fits, and return their results in order."""
    found = []
    for one in in_order(lambda task: fit(*task), tasks, jobs):
        found.append(one)
        on_fit()
    return found


def _put_together(repeats: Sequence[Data], found: Sequence[Finished]) -> HeldOutFits:
    """The results of fits without each fold of each repeat, which come in that order."""
    cosines, outer = [], []
    for data in repeats:
        without, found = found[: data.statistics.folds], found[data.statistics.folds :]
        own = np.empty(len(data.statistics))
        for fold, one in enumerate(without):
            own[data.fold_rows(fold)] = one.cosines
        cosines.append(own)
        outer.append(tuple(without))
    mean = np.mean(cosines, axis=0)
    return HeldOutFits(cosines=mean, first=cosines[0], outer=tuple(outer))


def _fit(blender: Blender, seed: int, extremes: int, *, kept: bool) -> Fit:
    """A function that fits without some folds and scores the fit on their rows."""

    def fit(data: Data, held_out: HeldFolds) -> Finished:
        begun = time.monotonic()
        fitted = fit_once(data, blender, held_out, seed)
        seconds = time.monotonic() - begun
        rows = np.flatnonzero(np.isin(data.statistics.fold, list(held_out)))
        cosines = fitted.cosines(data, rows, held_out) if held_out else np.zeros(0)
        return Finished(
            members=fitted.blend.members,
            # Of a fit without a fold nobody asks it, and it costs a pass over all rows.
            objective=np.nan if held_out else fitted.objective,
            status=fitted.status,
            weighting=fitted.weighting if isinstance(fitted, FittedWeights) else None,
            seconds=seconds,
            cosines=cosines,
            extremes=extremes_of_fold(data, fitted.blend, rows, cosines, held_out, extremes),
        )

    return cache_fits(fit, blender, seed, extremes) if kept else fit
