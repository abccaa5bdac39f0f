"""A blender's honest score: the whole fit repeated without each fold, over several foldings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender, FittedBlend
from ensembler.blenders.data import NOTHING, Data
from ensembler.blenders.memory import fit_once
from ensembler.blenders.weights import FittedWeights
from ensembler.blending.build import in_order
from ensembler.blending.weighting import Weighting
from ensembler.blends.contract import Blend
from ensembler.search.searching import Progress

Told = Callable[[], None]


def _silent() -> None:
    """Nobody is told."""


def counting(stage: str, total: int, progress: Progress | None) -> Told:
    """Progress of a stage, a fit at a time.

    Args:
        stage: its name.
        total: how many fits it has.
        progress: or None.
    """
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(stage, done, total)

    return told


class Found(NamedTuple):
    """What is kept of a fit without a fold: its numbers, not what it took to find them.

    Attributes:
        blend: ready to be applied.
        weighting: the same in Gram space; None where it is more than weights.
    """

    blend: Blend
    weighting: Weighting | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Held:
    """What fits without each fold of each repeat gave.

    Attributes:
        cosines: (rows,) float64, each row's mean over the repeats, always under a fit that saw no
            target of its group.
        outer: for each repeat, what was found without each fold, in order.
    """

    cosines: NDArray[np.float64]
    outer: tuple[tuple[Found, ...], ...]

    @property
    def blends(self) -> tuple[tuple[Blend, ...], ...]:
        """The same, the blends alone."""
        return tuple(tuple(found.blend for found in without) for without in self.outer)


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate(Held):
    """What repeated nested fits of one blender gave, and the fit on all rows.

    Attributes:
        blender: its name, options and all.
        fitted: on all rows.
        seconds: of that fit.
    """

    blender: str
    fitted: FittedBlend
    seconds: float

    @property
    def members(self) -> tuple[str, ...]:
        """The members that the fit on all rows blends."""
        return self.fitted.blend.members


class PlainWeights(NamedTuple):
    """What an estimate found of a blender of plain weights, under the first folding.

    Attributes:
        on_all: on all rows.
        without: without each fold, in order.
    """

    on_all: Weighting
    without: tuple[Weighting, ...]


class _Part(NamedTuple):
    repeat: int
    rows: NDArray[np.int64]
    found: Found
    cosines: NDArray[np.float64]


def plain_weights(found: Estimate) -> PlainWeights:
    """The weightings of an estimate.

    Raises:
        TypeError: its blender is not one of plain weights.
    """
    fitted = found.fitted
    without = [one.weighting for one in found.outer[0] if one.weighting is not None]
    if not isinstance(fitted, FittedWeights) or len(without) < len(found.outer[0]):
        raise TypeError(f"{found.blender} is more than weights")
    return PlainWeights(fitted.weighting, tuple(without))


def estimate(
    blender: Blender, repeats: Sequence[Data], seed: int, *, jobs: int = 1, told: Told = _silent
) -> Estimate:
    """Fit a blender on all rows, and without each fold of each repeat.

    Args:
        blender: what is fitted.
        repeats: the same store under one folding each.
        seed: of the fits.
        jobs: threads over folds; the result is the same for any number.
        told: called after each fit.

    Raises:
        StoreError: the training rows are too few.
    """
    begun = time.monotonic()
    fitted = fit_once(repeats[0], blender, NOTHING, seed)
    seconds = time.monotonic() - begun
    told()
    held = hold_out(blender, repeats, seed, jobs=jobs, told=told)
    return Estimate(
        blender=blender.name,
        cosines=held.cosines,
        fitted=fitted,
        outer=held.outer,
        seconds=seconds,
    )


def hold_out(
    blender: Blender, repeats: Sequence[Data], seed: int, *, jobs: int = 1, told: Told = _silent
) -> Held:
    """Fit a blender without each fold of each repeat; the arguments are those of `estimate`."""

    def without(task: tuple[int, int]) -> _Part:
        repeat, fold = task
        data, aside = repeats[repeat], frozenset({fold})
        rows, fitted = data.fold_rows(fold), fit_once(data, blender, aside, seed)
        weighting = fitted.weighting if isinstance(fitted, FittedWeights) else None
        found = Found(fitted.blend, weighting)
        return _Part(repeat, rows, found, fitted.cosines(data, rows, aside))

    tasks = [
        (repeat, fold)
        for repeat, data in enumerate(repeats)
        for fold in range(data.statistics.folds)
    ]
    total, parts = np.zeros(len(repeats[0].statistics)), []
    for part in in_order(without, tasks, jobs):
        total[part.rows] += part.cosines
        parts.append(part)
        told()
    return Held(
        cosines=total / len(repeats),
        outer=tuple(
            tuple(part.found for part in parts_of_one)
            for _, parts_of_one in groupby(parts, lambda part: part.repeat)
        ),
    )
