"""Statistics: what building them costs beside one pass that only sums the same bytes.

With the compiled kernel and without; the sum and every build run on members that are mapped anew,
so that each pays for its pages.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.data import SHAPES, Shape, generated_store
from benchmarks.environment import installed
from benchmarks.table import Line, Result
from benchmarks.timing import best_of
from ensembler.blending.build import Kernel, build_statistics, default_kernel
from ensembler.blending.statistics import Statistics
from ensembler.folds import evaluation_folds
from ensembler.store.model import Dtype
from ensembler.store.reader import Store

RUNS = {"toy": 1, "small": 3, "full": 5}
SAMPLED = 50  # rows compared with float64
TOLERANCE = 5e-6  # of one number in one row: a float32 sum of d products; their mean is far nearer


def run(size: str) -> list[Result]:
    """One table for each shape of the size."""
    return [_compare(shape, RUNS[size]) for shape in SHAPES[size]]


def _compare(shape: Shape, runs: int) -> Result:
    lines: list[Line] = []
    dtypes: tuple[Dtype, ...] = ("float32", "float16")
    for dtype in dtypes:
        with generated_store(shape, dtype) as store:
            if dtype == "float32":
                _sum(store)  # warms up: the pages of the store
                seconds, total = best_of(runs, partial(_sum, store))
                check(np.isfinite(total), f"the members sum to {total}")
                lines.append(Line(name="one float32 sum pass", seconds=seconds))
            for kernel in get_args(Kernel):
                lines += _builds(store, dtype, kernel, runs)
    return Result(title=f"statistics, {shape}", lines=tuple(lines))


def _builds(store: Store, dtype: Dtype, kernel: Kernel, runs: int) -> list[Line]:
    """The lines of one kernel, by threads."""
    lines = []
    for jobs, threads in ((1, "one thread"), (2, "two threads")):
        name = f"{kernel}, {dtype}, {threads}"
        if not installed(kernel):
            lines.append(Line(name=name, absent="not installed"))
            continue
        work = partial(_build_anew, store, kernel, jobs)
        check_rows(store, work())  # warms up: compiled code
        seconds, _ = best_of(runs, work)
        lines.append(Line(name=name, seconds=seconds))
    return lines


def _sum(store: Store) -> float:
    return float(sum(m.embeddings.sum(dtype=np.float32) for m in store.members(store.names)))


def _build_anew(store: Store, kernel: Kernel, jobs: int) -> Statistics:
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        return build(store, Path(folder), kernel, jobs)


def build(store: Store, folder: Path, kernel: Kernel | None = None, jobs: int = 1) -> Statistics:
    """The statistics of all members of a store, built in an empty folder.

    Args:
        store: with targets.
        folder: where the arrays go.
        kernel: what computes; by default what a fit would take.
        jobs: threads.
    """
    samples = store.samples
    return build_statistics(
        folder,
        store.members(store.names),
        store.targets(),
        evaluation_folds(samples.fold, samples.group),
        samples.weight,
        kernel=kernel or default_kernel(len(samples), "float32"),
        jobs=jobs,
    )


def check_rows(store: Store, statistics: Statistics) -> None:
    """Cosines, cross products and lengths of some rows agree with float64, raw and centred."""
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
