"""Building the statistics: two streamed passes over memory-mapped members.

The first pass takes each member's mean and each fold's target sum, the second the statistics, raw
and centred at once. Blocks have fixed boundaries whatever the number of jobs, so results do not
depend on it; a block holds BLOCK × (M + 1) × d numbers and is all the working memory there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ensembler.blending.priors import fold_sums
from ensembler.blending.rules import CANCELLED
from ensembler.blending.statistics import Geometry, Precision, Statistics, allocate
from ensembler.errors import StoreError
from ensembler.metrics import unit_rows
from ensembler.store.reader import Member

BLOCK = 64  # rows of one batched product: the members' vectors of a block stay in the cache
CHUNK = 4096  # rows handed to a worker at once; a multiple of BLOCK
SAFE_SQUARES = (1e-20, 1e20)  # squared lengths between which float32 neither under- nor overflows

Progress = Callable[[int], None]
Result = TypeVar("Result")


def build_statistics(
    folder: Path,
    members: Sequence[Member],
    targets: NDArray[np.float32],
    fold: NDArray[np.int64],
    weight: NDArray[np.float64],
    *,
    precision: Precision = "float32",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Statistics:
    """Stream the members twice and write their statistics.

    Args:
        folder: an existing, empty folder for the memory-mapped arrays.
        members: the M members, in order.
        targets: (rows, d), any positive length; scaled to length 1 here.
        fold: (rows,) int64 in 0..F-1, the evaluation folds.
        weight: (rows,) float64 row weights.
        precision: of the cosines between members; float64 where members may cancel.
        jobs: threads over blocks; the result is the same for any number.
        progress: called with the rows finished since the last call, 2 × rows in all.

    Returns:
        The statistics, their arrays on disk in `folder`.

    Raises:
        StoreError: a member's embeddings hold NaN or infinity.
    """
    tick = progress or (lambda _: None)
    means = _means(members, len(fold), jobs, tick)
    sums = fold_sums(targets, weight, fold)
    directions = unit_rows(sums)
    folds = len(sums)
    geometries = allocate(folder, len(fold), len(members), folds, precision)
    target_cosines = np.empty((len(fold), folds))

    def second_pass(start: int, stop: int) -> None:
        for low in range(start, stop, BLOCK):
            rows = slice(low, min(low + BLOCK, stop))
            target = unit_rows(targets[rows])
            target_cosines[rows] = target @ directions.T
            vectors: NDArray[np.floating] = np.stack(
                [m.block(rows.start, rows.stop) for m in members], axis=1, dtype=precision
            )
            present: NDArray[np.bool_] = np.any(vectors, axis=2)
            centred = np.where(present[:, :, None], vectors - means, np.float32(0.0))
            _fill(geometries["raw"], rows, vectors, target, directions, present)
            tiny = _nothing_left(vectors, centred, means)
            _fill(geometries["centred"], rows, centred, target, directions, present & ~tiny)
        tick(stop - start)

    _over_chunks(second_pass, len(fold), jobs)
    return Statistics(
        names=tuple(member.name for member in members),
        weight=weight,
        fold=fold,
        means=means,
        fold_sums=sums,
        target_cosines=target_cosines,
        **geometries,
    )


def _means(members: Sequence[Member], rows: int, jobs: int, tick: Progress) -> NDArray[np.float32]:
    """(M, d) each member's mean over the rows it covers."""

    def chunk(start: int, stop: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        blocks = (member.block(start, stop) for member in members)
        pairs = [(b.sum(axis=0, dtype=np.float64), int(b.any(axis=1).sum())) for b in blocks]
        tick(stop - start)
        return np.stack([total for total, _ in pairs]), np.array([present for _, present in pairs])

    # Summed in the order of the chunks: the same bytes for any number of jobs.
    parts = _over_chunks(chunk, rows, jobs)
    total = sum((part for part, _ in parts[1:]), parts[0][0])
    present = sum((part for _, part in parts[1:]), parts[0][1])
    finite = np.isfinite(total).all(axis=1)
    if not finite.all():
        broken = members[int(np.argmin(finite))]
        raise StoreError(
            f"{broken.path / 'embeddings.npy'} holds NaN or infinity; `ensembler store audit` names"
            f" the rows: add member {broken.name!r} again without them"
        )
    return (total / np.maximum(present, 1)[:, None]).astype(np.float32)


def _over_chunks(work: Callable[[int, int], Result], rows: int, jobs: int) -> list[Result]:
    from joblib import Parallel, delayed

    bounds: Iterable[tuple[int, int]] = (
        (start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)
    )
    calls = (delayed(work)(start, stop) for start, stop in bounds)
    return list(Parallel(n_jobs=jobs, prefer="threads")(calls))


def _nothing_left(
    vectors: NDArray[np.floating], centred: NDArray[np.floating], means: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Where centring left only rounding: ‖x‖ <= CANCELLED · (‖e‖ + ‖mean‖), (rows, M)."""
    largest = np.abs(vectors).max(axis=2).astype(np.float64) + np.abs(means).max(axis=1)
    bound = CANCELLED * np.sqrt(vectors.shape[2]) * largest
    suspect: NDArray[np.bool_] = np.abs(centred).max(axis=2) <= bound
    if not suspect.any():
        return suspect
    row, member = np.nonzero(suspect)
    left, whole, mean = (
        np.linalg.norm(x.astype(np.float64), axis=1)
        for x in (centred[suspect], vectors[suspect], means[member])
    )
    suspect[row, member] = left <= CANCELLED * (whole + mean)
    return suspect


def _fill(
    geometry: Geometry,
    rows: slice,
    vectors: NDArray[np.floating],
    target: NDArray[np.float64],
    directions: NDArray[np.float64],
    present: NDArray[np.bool_],
) -> None:
    """Write one block's statistics under one centring."""
    dtype = geometry.cosines.dtype
    joined = np.concatenate([vectors, target.astype(np.float32)[:, None]], axis=1, dtype=dtype)
    if dtype == np.float64:
        joined[:, -1] = target
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is done again below
        gram = joined @ joined.transpose(0, 2, 1)
    squares = np.einsum("imm->im", gram)[:, :-1].astype(np.float64)
    scale = np.ones_like(squares)
    low, high = SAFE_SQUARES
    unsafe = present & ~((squares > low) & (squares < high))
    if unsafe.any():
        scale[unsafe] = np.exp2(np.frexp(np.abs(vectors[unsafe]).max(axis=1))[1])
        joined[:, :-1] = vectors / scale[:, :, None]
        gram = joined @ joined.transpose(0, 2, 1)
        squares = np.einsum("imm->im", gram)[:, :-1].astype(np.float64)
    length = np.where(present, np.sqrt(squares), 0.0)
    inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0.0)
    first, second = np.triu_indices(length.shape[1], 1)
    geometry.cosines[rows] = gram[:, first, second] * (inverse[:, first] * inverse[:, second])
    geometry.cross[rows] = gram[:, :-1, -1] * inverse
    geometry.lengths[rows] = length * scale
    along = joined[:, :-1] @ directions.T.astype(dtype)
    geometry.fold_cosines[rows] = along * inverse[:, :, None]
