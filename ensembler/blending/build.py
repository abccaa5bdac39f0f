"""Building the statistics: two streamed passes over memory-mapped members.

The first pass takes each member's mean and each fold's target sum, the second the statistics, raw
and centred at once. Chunks have fixed boundaries whatever the number of jobs, so results do not
depend on it. Each job holds the statistics of one chunk: at most `CHUNK_BYTES`, or BLOCK rows where
so many members' pairs take more. That is all the memory there is besides pages of the members,
which the system takes back as it likes.

A build that was killed goes on where it last saved a checkpoint, and ends in the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import save_array
from ensembler.blending import checkpoint
from ensembler.blending.checkpoint import Checkpoint, load_checkpoint
from ensembler.blending.plain import BLOCK, PlainEngine
from ensembler.blending.sources import Block, Engine, Means, Sources, Sums
from ensembler.blending.statistics import (
    Layout,
    Precision,
    Statistics,
    is_laid_out,
    layout,
    load_statistics,
    row_bytes,
)
from ensembler.errors import StoreError
from ensembler.metrics import unit_rows
from ensembler.store.reader import Member

Kernel = Literal["numpy", "numba"]
Progress = Callable[[int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 2048  # rows handed to a worker at once, at most
CHUNK_BYTES = 1 << 23  # what their statistics may take: fewer rows from some 24 members on
CHECKPOINT_S = 10.0  # seconds of work that a kill may cost
COMPILED_FROM = 50_000  # rows from which compiled code pays for loading, and once for compiling it


def default_kernel(rows: int, precision: Precision) -> Kernel:
    """The kernel for a store: the compiled one where it is installed and pays.

    Smaller stores have the same statistics, to the last bit, with and without numba.
    """
    pays = rows >= COMPILED_FROM and precision == "float32"
    return "numba" if pays and find_spec("numba") is not None else "numpy"


def build_statistics(
    folder: Path,
    members: Sequence[Member],
    targets: NDArray[np.float32],
    fold: NDArray[np.int64],
    weight: NDArray[np.float64],
    *,
    precision: Precision = "float32",
    kernel: Kernel = "numpy",
    pairs: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Statistics:
    """Stream the members twice and write their statistics.

    Args:
        folder: an existing folder for the memory-mapped arrays: empty, or with what a build of the
            same arguments left when it was killed.
        members: the M members, in order.
        targets: (rows, d), any positive length; scaled to length 1 here.
        fold: (rows,) int64 in 0..F-1, the evaluation folds.
        weight: (rows,) float64 row weights.
        precision: of the cosines between members; float64 where members may cancel.
        kernel: what computes; the last digits depend on it. "numba" is for float32 and pairs only.
        pairs: whether cosines between members are wanted.
        jobs: threads over chunks; the result is the same for any number.
        progress: called with the rows finished since the last call, 2 × rows in all; first with
            those that an earlier build had finished.

    Returns:
        The statistics, their arrays on disk in `folder`, beside the last checkpoint if any.

    Raises:
        StoreError: a member's embeddings hold NaN or infinity.
        ImportError: numba is wanted and does not work here.
    """
    rows, dim, folds = len(fold), targets.shape[1], int(fold.max()) + 1
    sources = Sources(members=members, targets=targets, fold=fold, weight=weight, folds=folds)
    engine = _engine(kernel, sources, precision, pairs=pairs)
    shapes = layout(rows, len(members), folds, precision, pairs=pairs)
    chunks = _chunks(rows, shapes)
    if not is_laid_out(folder, shapes):
        _lay_out(folder, shapes)
    done = load_checkpoint(folder, Sums.zeros(len(members), folds, dim))
    tick = _ticking(done, chunks, folder, progress)

    # Added up in the order of the chunks: the same bytes for any number of jobs.
    for sums in in_order(engine.sums, chunks[done.summed :], jobs):
        done.sums.add(sums)
        done.summed += 1
        tick()
    means = Means(_means(done.sums, members), unit_rows(done.sums.targets))
    save_array(folder / "means.npy", means.members)
    save_array(folder / "fold_sums.npy", done.sums.targets)

    spare = [_block(shapes, len(chunks[0])) for _ in range(jobs)]

    def fill(chunk: range) -> None:
        memory = spare.pop()
        block = {name: array[: len(chunk)] for name, array in memory.items()}
        engine.fill(chunk, means, block)
        _write(folder, chunk.start, rows, block)
        spare.append(memory)

    for _ in in_order(fill, chunks[done.filled :], jobs):
        done.filled += 1
        tick()
    return load_statistics(folder, [member.name for member in members], fold, weight)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """What a function makes of each item, in their order, by several threads."""
    if jobs == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(work, items)


def compiled_engine() -> Callable[[Sources], Engine]:
    """The engine that numba compiles.

    Raises:
        ImportError: numba does not work here, whatever it raises itself.
    """
    try:
        from ensembler.blending.compiled import CompiledEngine
    except Exception as error:  # a damaged llvmlite raises OSError, a foreign one anything
        raise ImportError(f"numba cannot be loaded: {error}") from error
    return CompiledEngine


def _engine(kernel: Kernel, sources: Sources, precision: Precision, *, pairs: bool) -> Engine:
    if kernel == "numpy":
        return PlainEngine(sources, precision, pairs=pairs)
    return compiled_engine()(sources)


def _chunks(rows: int, shapes: Layout) -> list[range]:
    """The chunks of a build: whole blocks, as many as memory allows."""
    blocks = max(CHUNK_BYTES // (row_bytes(shapes) * BLOCK), 1)
    size = min(CHUNK, blocks * BLOCK)
    return [range(start, min(start + size, rows)) for start in range(0, rows, size)]


def _lay_out(folder: Path, shapes: Layout) -> None:
    """Make the arrays anew, after dropping the checkpoint that would vouch for what they held."""
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    for name, (shape, dtype) in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)


def _ticking(
    done: Checkpoint, chunks: Sequence[range], folder: Path, progress: Progress | None
) -> Callable[[], None]:
    """What follows each chunk: tell of its rows, and save a checkpoint now and then."""
    saved, told = time.monotonic(), 0

    def tick() -> None:
        nonlocal saved, told
        if time.monotonic() - saved >= CHECKPOINT_S:
            done.save(folder)
            saved = time.monotonic()
        finished = sum(chunks[count - 1].stop for count in (done.summed, done.filled) if count)
        if progress and finished > told:
            progress(finished - told)
        told = finished

    tick()
    return tick


def _block(shapes: Layout, rows: int) -> Block:
    """Memory for the statistics of some rows, of which each job uses the same all along."""
    return {name: np.empty((rows, *shape[1:]), dtype) for name, (shape, dtype) in shapes.items()}


def _means(sums: Sums, members: Sequence[Member]) -> NDArray[np.float32]:
    """(M, d) each member's mean over the rows it covers."""
    finite = np.isfinite(sums.total).all(axis=1)
    if not finite.all():
        broken = members[int(np.argmin(finite))]
        raise StoreError(
            f"{broken.path / 'embeddings.npy'} holds NaN or infinity; `ensembler store audit` names"
            f" the rows: add member {broken.name!r} again without them"
        )
    return (sums.total / np.maximum(sums.present, 1)[:, None]).astype(np.float32)


def _write(folder: Path, start: int, rows: int, block: Block) -> None:
    """Put a block's rows in their places.

    Written, not assigned to a memory map: the faults of new pages would cost three times as much,
    and threads would wait for one another's.
    """
    for name, array in block.items():
        with (folder / f"{name}.npy").open("r+b") as file:
            line = array[:1].nbytes
            file.seek(start * line - rows * line, 2)  # from the end: the header comes first
            file.write(array.data)
