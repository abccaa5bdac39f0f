"""From what the checkpoints gave to a member's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.dumping.plan import Plan
from ensembler.dumping.work import Work
from ensembler.predicting.averaging import averaged

BLOCK: Final = 1 << 12  # rows at once; bounds memory


class Assembled(NamedTuple):
    """A member as it goes into the store.

    Attributes:
        rows: (n,) int64, positions of the samples that have a vector, ascending; n may be 0.
        vectors: (m, d) float32, memory-mapped.
        at: (n,) int64, where among `vectors` that of each row is.
        mean_norm: mean length of the rows that are not zero; 0 where all are.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    at: NDArray[np.int64]
    mean_norm: float


def assemble(plan: Plan, work: Work) -> Assembled:
    """Choose, or average, the vector of every row.

    A fold of one checkpoint keeps its vectors as they are. In a fold of several, the directions are
    averaged and every row is brought to the mean length of all that these checkpoints gave there:
    `predict` does the same with the checkpoints of all folds.

    Args:
        plan: whose passes are all done.
        work: that did them.

    Returns:
        The member. A row that one of several checkpoints lacks is the others' average.
    """
    vectors = work.vectors(plan.layers)
    there = np.zeros(vectors.shape[:2], dtype=np.bool_)
    for number, one in enumerate(plan.passes):
        there[one.layer, one.positions] = True
        there[one.layer, sorted(work.done.failures[number])] = False
    rows = at = np.flatnonzero(there.any(axis=0))
    whole = vectors[0]
    if plan.layers > 1 and len(rows):
        whole = work.keep(_averaged(plan, vectors, rows), (len(rows), vectors.shape[2]))
        at = np.arange(len(rows))
    mean_norm = _mean_norm(whole[block] for block in _blocks(at))
    return Assembled(rows, whole, at, mean_norm)


def _averaged(
    plan: Plan, vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """The vectors of rows, a block at a time."""
    lengths = _lengths(plan, vectors)
    for block in _blocks(rows):
        out = vectors[0, block]
        several = lengths[block] > 0
        out[several] = averaged(vectors[:, block[several]], lengths[block[several]])
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
