"""Statistics: the cost of building them beside one pass that only sums the same bytes.

Builds with and without the compiled kernel take turns. The sum and every build map the members
anew, so that each pays for its pages. The folds are dealt before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.data import SHAPES, Shape, generated_store
from benchmarks.environment import installed
from benchmarks.table import Line, Result
from benchmarks.timing import fastest, timed
from ensembler.blending.build import Kernel, build_statistics, default_kernel
from ensembler.blending.statistics import Statistics
from ensembler.folds import evaluation_folds
from ensembler.store.reader import Store

RUNS = {"toy": 1, "small": 3, "full": 5}
SAMPLED = 50  # rows compared with float64
TOLERANCE = 5e-6  # of one number in one row, a float32 sum of d products; means are far closer


def run(size: str) -> list[Result]:
    """One table for each shape of the size."""
    return [_compare(shape, RUNS[size]) for shape in SHAPES[size]]


def _compare(shape: Shape, runs: int) -> Result:
    with (
        generated_store(shape, "float32") as single,
        generated_store(shape, "float16") as half,
    ):
        _sum(single)  # warms up: the pages of the store
        works: dict[str, Callable[[], float]] = {"one float32 sum pass": partial(_sum, single)}
        names = [*works]
        for store, kernel, jobs in product((single, half), get_args(Kernel), (1, 2)):
            threads = ("one thread", "two threads")[jobs - 1]
            names.append(f"{kernel}, {store.manifest.members[0].dtype}, {threads}")
            if installed(kernel):
                work = partial(_build_anew, store, store_folds(store), kernel, jobs)
                work(check_rows)  # warms up: compiled code
                works[names[-1]] = work
        seconds = fastest(runs, works)
    lines = (
        Line(name=name, seconds=seconds.get(name), absent="" if name in works else "not installed")
        for name in names
    )
    return Result(title=f"statistics, {shape}", lines=tuple(lines))


def _sum(store: Store) -> float:
    members = store.members(store.names)
    seconds, total = timed(lambda: sum(m.embeddings.sum(dtype=np.float32) for m in members))
    check(np.isfinite(total), f"the members sum to {total}")
    return seconds


def _build_anew(
    store: Store,
    fold: NDArray[np.int64],
    kernel: Kernel,
    jobs: int,
    look: Callable[[Store, Statistics], None] = lambda *_: None,
) -> float:
    """The seconds of a build, whose result `look` may check afterwards."""
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        seconds, built = timed(partial(build, store, fold, Path(folder), kernel, jobs))
        look(store, built)
    return seconds


def store_folds(store: Store) -> NDArray[np.int64]:
    """The evaluation folds of a store's rows."""
    return evaluation_folds(store.samples.fold, store.samples.group)


def build(
    store: Store,
    fold: NDArray[np.int64],
    folder: Path,
    kernel: Kernel | None = None,
    jobs: int = 1,
) -> Statistics:
    """Build the statistics of all members of a store in an empty folder.

    Args:
        store: a store with targets.
        fold: (rows,) int64, from `store_folds`.
        folder: the folder for the arrays.
        kernel: the kernel that computes; by default the one that a fit would use.
        jobs: number of threads.
    """
    return build_statistics(
        folder,
        store.members(store.names),
        store.targets(),
        fold,
        store.samples.weight,
        kernel=kernel or default_kernel(len(fold), "float32"),
        jobs=jobs,
    )


def check_rows(store: Store, statistics: Statistics) -> None:
    """Check cosines, cross products and lengths of some rows against float64, raw and centred."""
    rows = np.random.default_rng(2).choice(len(statistics), SAMPLED, replace=False)
    members = [member.embeddings for member in store.members(store.names)]
    stored = np.stack([vectors[rows] for vectors in members], axis=1).astype(np.float64)
    means = np.stack([vectors.mean(axis=0, dtype=np.float64) for vectors in members])
    target = _unit(store.targets()[rows].astype(np.float64))
    first, second = np.triu_indices(len(members), 1)
    for centred, x in ((False, stored), (True, stored - means)):
        geometry, unit = statistics.geometry(centred), _unit(x)
        lengths = np.linalg.norm(x, axis=2)
        between = np.einsum("imd,ind->imn", unit, unit)[:, first, second]
        worst = max(
            np.abs(geometry.cosines[rows] - between).max(),
            np.abs(geometry.cross[rows] - np.einsum("imd,id->im", unit, target)).max(),
            np.abs(geometry.lengths[rows] / lengths - 1.0).max(),
        )
        check(worst <= TOLERANCE, f"statistics (centred: {centred}) are off by {worst}")


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
