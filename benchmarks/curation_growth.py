"""Growth of `dedupe` and `fold` with rows: time, memory and misses, each in its own process.

Up to EXACT_ROWS all pairs of rows are compared, whose number grows with the square of the rows;
above, a row is compared with those in some cells.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.answers import check
from benchmarks.clusters import Vectors, clustered_vectors
from benchmarks.memory import watched
from benchmarks.table import Line, Result
from benchmarks.timing import timed
from ensembler.curation.deduplicating import find_leaders, measure_recall
from ensembler.curation.grouping import find_components
from ensembler.curation.grouping_leaks import Leak, measure_leak
from ensembler.curation.neighbours_choice import make_index
from ensembler.folds import group_folds

ROOT = Path(__file__).parents[1]  # where the child process finds this package
ROWS = {"toy": (400,), "small": (20_000, 60_000), "full": (200_000, 1_000_000)}
DEDUPE, FOLD, FOLDS = 0.9, 0.7, 10  # thresholds and folds: the commands' defaults
MISSED = 0.05  # the largest share that a search by cells may miss


class Grown(NamedTuple):
    """The measurements of one command in one process."""

    seconds: float
    memory: float | None  # peak in MB, without pages of files
    missed: float  # share of near-duplicates that stay, or of rows with a near one in another fold


def grow(size: str) -> list[Result]:
    """A table for each command: seconds and memory, by rows."""
    tables = []
    for command in ("dedupe", "fold"):
        lines = []
        for rows in ROWS[size]:
            with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
                clustered_vectors(Path(folder) / "vectors.npy", rows)
                grown = _in_a_child(command, Path(folder) / "vectors.npy")
            check(grown.missed <= MISSED, f"{command} of {rows} rows misses {grown.missed:.1%}")
            name = f"{command}, {rows:,} rows, {grown.missed:.2%} missed"
            lines.append(Line(name=name, seconds=grown.seconds, fact=grown.memory))
        tables.append(Result(title=f"growth of {command}", lines=tuple(lines), fact="MB RssAnon"))
    return tables


def fold_groups(vectors: Vectors, group: NDArray[np.int64]) -> Leak:
    """Deal groups to folds, and measure the similarity that is left across them.

    Args:
        vectors: (n, d) float32 of unit length.
        group: (n,) the group of each row.
    """
    return measure_leak(vectors, group_folds(group.astype(np.str_), FOLDS), FOLD)


def _in_a_child(command: str, vectors: Path) -> Grown:
    done = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "benchmarks.curation_growth", command, vectors],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    return Grown(*json.loads(done.stdout))


def _watch(command: str, vectors: Vectors) -> Grown:
    """Measure a command's work, without reading and writing its files, in the child process."""
    with watched() as peak:
        if command == "fold":
            seconds, leak = timed(partial(_fold, vectors))
            return Grown(seconds, peak(), leak.near)
        seconds, leader = timed(partial(_dedupe, vectors))
        memory = peak()
    return Grown(seconds, memory, 1.0 - measure_recall(vectors, leader, DEDUPE))


def _dedupe(vectors: Vectors) -> NDArray[np.int64]:
    return find_leaders(vectors, DEDUPE, make_index(vectors, DEDUPE))


def _fold(vectors: Vectors) -> Leak:
    return fold_groups(vectors, find_components(vectors, FOLD, make_index(vectors, FOLD)))


if __name__ == "__main__":
    import faiss

    faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        sys.stdout.write(json.dumps(_watch(sys.argv[1], np.load(sys.argv[2], mmap_mode="r"))))
