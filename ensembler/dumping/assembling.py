"""From the checkpoints' vectors to a member's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.dumping.plan import Plan
from ensembler.predicting.averaging import average_directions
from ensembler.work.disk import work_errors
from ensembler.work.entry import EMBEDDED, Entry

BLOCK: Final = 1 << 12  # rows at once; bounds memory
AVERAGED: Final = "averaged.f32"  # in the entry's folder, where a fold has several checkpoints


class Assembled(NamedTuple):
    """A member as it goes into the store.

    Attributes:
        images: (n,) int64, those that have a vector, ascending; n may be 0.
        vectors: (m, d) float32, memory-mapped.
        at: (n,) int64, where among `vectors` that of each is.
        mean_norm: mean length of the rows that are not zero; 0 where all are.
    """

    images: NDArray[np.int64]
    vectors: NDArray[np.float32]
    at: NDArray[np.int64]
    mean_norm: float


def assemble(plan: Plan, entry: Entry) -> Assembled:
    """Choose, or average, the vector of every image.

    A fold of one checkpoint keeps its vectors as they are. In a fold of several, the directions are
    averaged and every row is brought to the mean length of all that these checkpoints gave there:
    `predict` does the same with the checkpoints of all folds.

    Args:
        plan: whose passes are all done.
        entry: that has their vectors.

    Returns:
        The member. A row that one of several checkpoints lacks is the others' average.

    Raises:
        WorkError: the disk is full.
    """
    vectors = entry.vectors.reshape(plan.layers, plan.images, entry.dim)
    there = (entry.state() == EMBEDDED).reshape(plan.layers, plan.images)
    images = at = np.flatnonzero(there.any(axis=0))
    whole = vectors[0]
    if plan.layers > 1 and len(images):
        shape = (len(images), entry.dim)
        whole = _kept(entry.folder / AVERAGED, _averaged(plan, vectors, images), shape)
        at = np.arange(len(images))
    mean_norm = _mean_norm(whole[block] for block in _blocks(at))
    return Assembled(images, whole, at, mean_norm)


def _kept(
    place: Path, blocks: Iterable[NDArray[np.float32]], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Vectors written a block of rows at a time, so that memory is bounded; memory-mapped."""
    with work_errors(place), place.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4").data)
    return np.memmap(place, dtype="<f4", mode="r", shape=shape)


def _averaged(
    plan: Plan, vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """The vectors of rows, a block at a time."""
    lengths = _lengths(plan, vectors)
    for block in _blocks(rows):
        out = vectors[0, block]
        several = lengths[block] > 0
        out[several] = average_directions(vectors[:, block[several]], lengths[block[several]])
        yield out


def _lengths(plan: Plan, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The length of each row that several checkpoints embedded, 0 for the others."""
    lengths = np.zeros(vectors.shape[1])
    checkpoints = Counter(one.fold for one in plan.passes)
    for one in plan.passes:
        if one.layer == 1:  # there once in each fold of several
            lengths[one.positions] = _mean_norm(
                layer[block]
                for layer in vectors[: checkpoints[one.fold]]
                for block in _blocks(one.positions)
            )
    return lengths


def _mean_norm(blocks: Iterable[NDArray[np.float32]]) -> float:
    """Mean length of the rows that are not zero, as those that a checkpoint lacks are."""
    total, count = 0.0, 0
    for block in blocks:
        norms = np.linalg.norm(block.astype(np.float64), axis=1)
        total += float(norms.sum())
        count += int((norms > 0).sum())
    return total / count if count else 0.0


def _blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
