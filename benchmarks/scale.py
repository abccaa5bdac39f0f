"""Scale: statistics of up to a million rows, each build measured in its own process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.data import Shape, make_members, make_targets
from benchmarks.memory import watched
from benchmarks.statistics import build, check_rows, store_folds
from benchmarks.table import Line, Result
from benchmarks.timing import timed
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

ROOT = Path(__file__).parents[1]  # where the child process finds this package
BLOCK = 10_000  # rows generated at once
SHAPES = {
    "toy": (Shape(rows=300, members=3, dim=16), Shape(rows=600, members=3, dim=16)),
    "small": (Shape(rows=50_000, members=8, dim=384), Shape(rows=200_000, members=8, dim=384)),
    "full": (
        Shape(rows=100_000, members=18, dim=384),
        Shape(rows=1_000_000, members=18, dim=384),
        Shape(rows=50_000, members=60, dim=384),
    ),
}


def run(size: str) -> list[Result]:
    """Two tables: time per row, and memory without pages of files."""
    speed: list[Line] = []
    memory: list[Line] = []
    for shape in SHAPES[size]:
        with streamed_store(shape) as store:
            seconds, peak = _in_a_child(store)
        speed.append(Line(name=str(shape), seconds=seconds, fact=1e6 * seconds / shape.rows))
        memory.append(Line(name=str(shape), seconds=seconds, fact=peak))
    return [
        Result(title="float16, by rows", lines=tuple(speed), fact="µs / row", decimals=2),
        Result(title="float16, by memory", lines=tuple(memory), fact="MB RssAnon"),
    ]


@contextlib.contextmanager
def streamed_store(shape: Shape) -> Iterator[Store]:
    """Make a store of float16 members, generated in blocks: no whole member is ever in memory."""
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as place:
        folder = Path(place)
        ids = [f"s{row:07}" for row in range(shape.rows)]
        files = [folder / f"m{m:02}.npy" for m in range(shape.members)]
        _generate(shape, folder / "targets.npy", files)
        (folder / "samples.csv").write_text("\n".join(["id", *ids]) + "\n")
        (folder / "ids.txt").write_text("\n".join(ids) + "\n")
        create_store(folder / "oof", folder / "samples.csv", targets=folder / "targets.npy")
        for file in files:
            add_member(folder / "oof", file.stem, [file], ids=[folder / "ids.txt"], dtype="float16")
            file.unlink()
        yield Store.open(folder / "oof")


def _generate(shape: Shape, targets: Path, members: list[Path]) -> None:
    whole = (shape.rows, shape.dim)
    target = np.lib.format.open_memmap(targets, "w+", np.float32, whole)
    stored = [np.lib.format.open_memmap(file, "w+", np.float16, whole) for file in members]
    for seed, start in enumerate(range(0, shape.rows, BLOCK)):
        rows = slice(start, min(start + BLOCK, shape.rows))
        part = Shape(rows=rows.stop - start, members=shape.members, dim=shape.dim)
        target[rows] = make_targets(part, seed)
        for out, vectors in zip(stored, make_members(target[rows], shape.members), strict=True):
            out[rows] = vectors


def _in_a_child(store: Store) -> tuple[float, float | None]:
    """The seconds and the peak memory in MB of a build in a child process."""
    done = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "benchmarks.scale", store.path],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def _build_once(store: Store) -> tuple[float, float | None]:
    """Build statistics in the child process: warmed up, timed, measured and checked."""
    fold = store_folds(store)
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        # Warms up: the pages of the store, compiled kernels.
        check_rows(store, build(store, fold, Path(folder)))
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder, watched() as peak:
        seconds, _ = timed(lambda: build(store, fold, Path(folder)))
    return seconds, peak()


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.stdout.write(json.dumps(_build_once(Store.open(sys.argv[1]))))
