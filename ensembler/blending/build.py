"""Building the statistics: two streamed passes over memory-mapped members.

The first pass takes each member's mean and each fold's target sum, the second the statistics, raw
and centred at once. Blocks have fixed boundaries whatever the number of jobs, so results do not
depend on it; a block holds BLOCK × (M + 1) × d numbers and is all the working memory there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

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
    mean_lengths = np.linalg.norm(means.astype(np.float64), axis=1)

    def second_pass(start: int, stop: int) -> None:
        for low in range(start, stop, BLOCK):
            rows = slice(low, min(low + BLOCK, stop))
            target = unit_rows(targets[rows])
            target_cosines[rows] = target @ directions.T
            joined = np.empty((len(target), len(members) + 1, targets.shape[1]), dtype=precision)
            for m, member in enumerate(members):
                member.read_into(joined[:, m], rows.start)
            joined[:, -1] = target
            raw = _products(joined)
            _write(geometries["raw"], rows, raw, joined, directions)
            joined[:, :-1] -= means
            joined[:, :-1][raw.lengths == 0.0] = 0.0
            centred = _products(joined)
            # What centring leaves of a member that hardly varies is rounding: it counts as absent.
            left = centred.lengths > CANCELLED * (raw.lengths + mean_lengths)
            centred = centred._replace(lengths=np.where(left, centred.lengths, 0.0))
            _write(geometries["centred"], rows, centred, joined, directions)
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
        total = np.zeros((len(members), members[0].record.dim))
        present = np.zeros(len(members), dtype=np.int64)
        for m, member in enumerate(members):
            for low in range(start, stop, BLOCK):  # short float32 sums, added up in float64
                block = member.block(low, min(low + BLOCK, stop))
                total[m] += block.sum(axis=0)
                present[m] += np.count_nonzero(block.any(axis=1))
        tick(stop - start)
        return total, present

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


class _Products(NamedTuple):
    """Inner products of a block's rows, in units that neither under- nor overflow.

    Attributes:
        gram: (n, M + 1, M + 1) between members and, last, the target.
        lengths: (n, M) float64 of the members; 0 where absent.
        unit: (n, M) float64, what each member was divided by for the products.
    """

    gram: NDArray[np.floating]
    lengths: NDArray[np.float64]
    unit: NDArray[np.float64]


def _products(joined: NDArray[np.floating]) -> _Products:
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is done again below
        gram = joined @ joined.transpose(0, 2, 1)
    squares = np.einsum("imm->im", gram)[:, :-1].astype(np.float64)
    unit = np.ones_like(squares)
    low, high = SAFE_SQUARES
    unsafe = ~((squares > low) & (squares < high))
    if unsafe.any():
        largest = np.abs(joined[:, :-1][unsafe]).max(axis=1)
        unit[unsafe] = np.exp2(np.frexp(largest)[1])  # a power of two: dividing by it is exact
    if (unit != 1.0).any():
        joined = joined.copy()
        joined[:, :-1] /= unit[:, :, None]
        gram = joined @ joined.transpose(0, 2, 1)
        squares = np.einsum("imm->im", gram)[:, :-1].astype(np.float64)
    return _Products(gram, np.sqrt(squares) * unit, unit)


def _write(
    geometry: Geometry,
    rows: slice,
    products: _Products,
    joined: NDArray[np.floating],
    directions: NDArray[np.float64],
) -> None:
    """Scale one block's products to cosines and write them under one centring."""
    gram, lengths, unit = products
    present = lengths > 0.0
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=present)
    in_units = inverse * unit
    first, second = np.triu_indices(lengths.shape[1], 1)
    geometry.cosines[rows] = gram[:, first, second] * (in_units[:, first] * in_units[:, second])
    geometry.cross[rows] = gram[:, :-1, -1] * in_units
    geometry.lengths[rows] = lengths
    along = joined[:, :-1] @ directions.T.astype(joined.dtype)
    geometry.fold_cosines[rows] = along * inverse[:, :, None]
