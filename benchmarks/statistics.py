"""Statistics: what building them costs beside one pass that only sums the same bytes."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.data import SHAPES, Shape, generated_store
from benchmarks.table import Line, Result
from benchmarks.timing import best_of
from ensembler.blending.build import build_statistics
from ensembler.blending.statistics import Statistics
from ensembler.folds import evaluation_folds
from ensembler.store.model import Dtype
from ensembler.store.reader import Store

RUNS = {"toy": 1, "small": 3, "full": 3}
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
            _sum(store), _build(store, 1)  # warms up: the pages of the store, compiled kernels
            if dtype == "float32":
                seconds, total = best_of(runs, partial(_sum, store))
                check(np.isfinite(total), f"the members sum to {total}")
                lines.append(Line(name="one float32 sum pass", seconds=seconds))
            for jobs in (1, 2):
                seconds, statistics = best_of(runs, partial(_build, store, jobs))
                _check_rows(store, statistics)
                threads = "one thread" if jobs == 1 else "two threads"
                lines.append(Line(name=f"statistics, {dtype}, {threads}", seconds=seconds))
    return Result(title=f"statistics, {shape}", lines=tuple(lines))


def _sum(store: Store) -> float:
    return float(sum(m.embeddings.sum(dtype=np.float32) for m in store.members(store.names)))


def _build(store: Store, jobs: int) -> Statistics:
    samples = store.samples
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        return build_statistics(
            Path(folder),
            store.members(store.names),
            store.targets(),
            evaluation_folds(samples.fold, samples.group),
            samples.weight,
            jobs=jobs,
        )


def _check_rows(store: Store, statistics: Statistics) -> None:
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
