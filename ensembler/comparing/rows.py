"""The worst and best rows of a blend, each with the prompt that its prediction is nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembler.blenders.data import Data
from ensembler.blends.contract import Blend

BLOCK = 4096  # targets looked at at once


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
        cosine: held out, the mean over the repeats.
        nearest: to its held-out prediction under the first folding.
    """

    id: str
    group: str
    prompt: str | None
    cosine: float
    nearest: Nearest


def extremes(
    cosines: NDArray[np.float64], ids: NDArray[np.str_], weight: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the worst rows are, worst first, and the best, best first; ties go by id.

    Args:
        cosines: (rows,) float64, held out.
        ids: (rows,) text.
        weight: (rows,) float64; rows of none are not shown.
        count: how many of each; a row is not both.

    Returns:
        Two arrays of positions, (k,) int64.
    """
    order = np.lexsort((ids, cosines))
    order = order[weight[order] > 0.0]
    worst = order[:count]
    return worst, order[len(worst) :][::-1][:count]


def describe(
    data: Data,
    blends: Sequence[Blend],
    cosines: NDArray[np.float64],
    places: NDArray[np.int64],
) -> tuple[Row, ...]:
    """What there is to say of some rows.

    Args:
        data: under the first folding.
        blends: the blend without each of its folds.
        cosines: (rows,) float64, held out.
        places: (k,) int64, which rows, in the order wanted.
    """
    samples = data.store.samples
    nearest = nearest_to(data, predictions(data, blends, places), samples.group[places])
    return tuple(
        Row(
            id=str(samples.id[place]),
            group=str(samples.group[place]),
            prompt=None if samples.prompt is None else str(samples.prompt[place]),
            cosine=float(cosines[place]),
            nearest=near,
        )
        for place, near in zip(places, nearest, strict=True)
    )


def predictions(
    data: Data, blends: Sequence[Blend], places: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(k, d) of unit length: some rows, each under the fit without its fold."""
    vectors = np.zeros((len(places), data.dim))
    for place, vector in zip(places, vectors, strict=True):
        fold = int(data.statistics.fold[place])
        row = np.array([place], dtype=np.int64)
        for block in data.blended(blends[fold], row, frozenset({fold})):
            vector[:] = block.blended.vectors[0]
    return vectors


def nearest_to(data: Data, vectors: NDArray[np.float64], groups: NDArray[np.str_]) -> list[Nearest]:
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
