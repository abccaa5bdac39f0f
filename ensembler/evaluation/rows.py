"""The worst and best rows of a blend, each with the prompt nearest to its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blends.contract import Blend

BLOCK = 4096  # targets looked at at once
T = TypeVar("T")
SHOWN = 16  # rows that finished fits can tell of at least: a few more then call for no other fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """A sample of another group whose target is nearest to a row's prediction.

    Attributes:
        group: its group.
        prompt: its prompt, or None where the store keeps none.
        cosine: of its target with the prediction.
    """

    group: str
    prompt: str | None
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row under one blend.

    Attributes:
        id: of the sample.
        group: its group.
        prompt: or None where the store keeps none.
        cosine: held out, under the first folding.
        nearest: to that prediction.
    """

    id: str
    group: str
    prompt: str | None
    cosine: float
    nearest: Nearest


class Extremes(NamedTuple):
    """The worst and best rows of a fold, with what was predicted for them.

    Attributes:
        rows: (k,) int64, ascending positions.
        vectors: (k, d) float32 of unit length, each under the fit without the fold.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]


class WorstAndBest(NamedTuple, Generic[T]):
    """Both ends of the rows in order of their cosines.

    Attributes:
        worst: the worst first.
        best: the best first.
    """

    worst: T
    best: T


def extremes(
    cosines: NDArray[np.float64], ids: NDArray[np.str_], weight: NDArray[np.float64], count: int
) -> WorstAndBest[NDArray[np.int64]]:
    """Positions of the worst and best rows; ties go by id.

    Args:
        cosines: (rows,) float64, held out.
        ids: (rows,) text.
        weight: (rows,) float64; rows of none are not shown.
        count: how many of each; a row is not both.

    Returns:
        (k,) int64 each.
    """
    order = np.lexsort((ids, cosines))
    order = order[weight[order] > 0.0]
    worst = order[:count]
    return WorstAndBest(worst, order[len(worst) :][::-1][:count])


def extremes_of_fold(
    data: Data,
    blend: Blend,
    rows: NDArray[np.int64],
    cosines: NDArray[np.float64],
    held_out: HeldFolds,
    count: int,
) -> Extremes:
    """The worst and best rows of a fold, which may be those of all rows.

    Args:
        data: whose rows.
        blend: fitted without the fold.
        rows: (n,) int64, ascending: the fold's.
        cosines: (n,) float64, theirs.
        held_out: the fold.
        count: how many of the worst, and of the best.
    """
    samples = data.store.samples
    found = extremes(cosines, samples.id[rows], data.statistics.weight[rows], count)
    places = np.sort(rows[np.concatenate(found)])
    blocks = [block.blended.vectors for block in data.blended(blend, places, held_out)]
    vectors = np.concatenate(blocks) if blocks else np.zeros((0, data.dim))
    return Extremes(places, vectors.astype(np.float32))


def describe(
    data: Data, cosines: NDArray[np.float64], kept: Sequence[Extremes], count: int
) -> WorstAndBest[tuple[Row, ...]]:
    """The worst and best rows of a blend under one folding.

    Args:
        data: under that folding.
        cosines: (rows,) float64, held out.
        kept: of each fold, at least `count` worst and best rows.
        count: how many of each.
    """
    samples = data.store.samples
    vectors = {
        row: vector
        for rows, of_fold in kept
        for row, vector in zip(rows.tolist(), of_fold, strict=True)
    }

    def described(places: NDArray[np.int64]) -> tuple[Row, ...]:
        if not len(places):
            return ()
        predicted = np.array([vectors[place] for place in places.tolist()])
        return tuple(
            Row(
                id=str(samples.id[place]),
                group=str(samples.group[place]),
                prompt=None if samples.prompt is None else str(samples.prompt[place]),
                cosine=float(cosines[place]),
                nearest=near,
            )
            for place, near in zip(
                places, nearest_to(data, predicted, samples.group[places]), strict=True
            )
        )

    worst, best = extremes(cosines, samples.id, data.statistics.weight, count)
    return WorstAndBest(described(worst), described(best))


def nearest_to(
    data: Data, vectors: NDArray[np.floating], groups: NDArray[np.str_]
) -> list[Nearest]:
    """For each vector the sample of another group whose target is nearest; of ties the first.

    Args:
        data: whose targets.
        vectors: (k, d) of unit length.
        groups: (k,) text, the group that each vector belongs to.
    """
    samples = data.store.samples
    best, found = np.full(len(vectors), -np.inf), np.zeros(len(vectors), dtype=np.int64)
    for start in range(0, len(samples), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(samples)))
        cosines = vectors @ data.targets(rows).T
        cosines[groups[:, None] == samples.group[rows]] = -np.inf
        place = cosines.argmax(axis=1)
        highest = cosines[np.arange(len(vectors)), place]
        better = highest > best
        best[better], found[better] = highest[better], rows[place[better]]
    return [
        Nearest(
            group=str(samples.group[row]),
            prompt=None if samples.prompt is None else str(samples.prompt[row]),
            cosine=float(cosine),
        )
        for row, cosine in zip(found, best, strict=True)
    ]
