"""CSV: writing submission.csv from embeddings, ours beside pandas, each in its own process.

`python -m benchmarks.submission WRITER FILE IMAGES` is such a process: it prints its seconds and
its peak memory, which only a fresh process can tell apart from earlier work.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.data import Shape, make_targets
from benchmarks.environment import installed
from benchmarks.table import Line, Result
from benchmarks.timing import timed
from ensembler.inference.submission import write_submission

ROOT = Path(__file__).parents[1]  # where a fresh interpreter finds benchmarks and ensembler
DIM = 384
IMAGES = {"toy": 10, "small": 16_000, "full": 16_000}  # 16,000 images are the competition's size
HEADER = ["imgId_eId", "val"]


def run(size: str) -> list[Result]:
    """One table."""
    images = IMAGES[size]
    lines = []
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        for name, writer, package in (
            ("ours: write_submission", "ours", "pyarrow"),
            ("pandas to_csv, keys included", "pandas", "pandas"),
        ):
            if not installed(package):
                lines.append(Line(name=name, absent="not installed"))
                continue
            file = Path(folder, f"{writer}.csv")
            measured = _in_fresh_process(writer, file, images)
            _check_file(file, images)
            lines.append(Line(name=name, seconds=measured["seconds"], fact=measured["peak"]))
    title = f"submission of {images * DIM:,} rows"
    return [Result(title=title, lines=tuple(lines), fact="peak MB")]


def _in_fresh_process(writer: str, file: Path, images: int) -> dict[str, float]:
    arguments = [sys.executable, "-m", "benchmarks.submission", writer, str(file), str(images)]
    done = subprocess.run(  # noqa: S603 - our own
        arguments, check=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _check_file(file: Path, images: int) -> None:
    """Check that keys and values of the file are those of the embeddings, to the last bit."""
    import pyarrow as pa
    import pyarrow.csv

    types = pyarrow.csv.ConvertOptions(
        column_types={HEADER[0]: pa.string(), HEADER[1]: pa.float32()}
    )
    table = pyarrow.csv.read_csv(file, convert_options=types)
    ids, values = _embeddings(images)
    wanted = (f"{name}_{component}" for name in ids for component in range(DIM))
    check(table.column_names == HEADER, f"{file.name} has the columns {table.column_names}")
    written = table["val"].to_numpy()
    check(np.array_equal(written, values.ravel()), f"{file.name} has other values")
    keys = (key for chunk in table[HEADER[0]].chunks for key in chunk.to_pylist())
    check(all(map(str.__eq__, keys, wanted)), f"{file.name} has other keys")


def _embeddings(images: int) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Sorted ids of the competition's form, and unit-length rows."""
    ids = np.array([f"{image:09x}" for image in range(images)])
    return ids, make_targets(Shape(rows=images, members=0, dim=DIM))


def _write_ours(file: Path, ids: NDArray[np.str_], values: NDArray[np.float32]) -> None:
    write_submission(file, ids, values)


def _write_pandas(file: Path, ids: NDArray[np.str_], values: NDArray[np.float32]) -> None:
    """Write as the competition's notebooks do, with keys from pandas' text operations."""
    import pandas as pd

    names = pd.Series(np.repeat(ids, DIM))
    numbers = pd.Series(np.tile(np.arange(DIM), len(ids))).astype(str)
    keys = names + "_" + numbers
    pd.DataFrame({HEADER[0]: keys, HEADER[1]: values.ravel()}).to_csv(file, index=False)


WRITERS: dict[str, Callable[[Path, NDArray[np.str_], NDArray[np.float32]], None]] = {
    "ours": _write_ours,
    "pandas": _write_pandas,
}


def _peak_mb() -> float:
    """This process's peak memory in MB.

    On Linux a child's `ru_maxrss` includes the parent's memory; VmHWM does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _main(writer: str, file: str, images: str) -> None:
    write, target = WRITERS[writer], Path(file)
    write(target, *_embeddings(1))  # warms up: imports
    ids, values = _embeddings(int(images))
    seconds, _ = timed(lambda: write(target, ids, values))
    sys.stdout.write(json.dumps({"seconds": seconds, "peak": _peak_mb()}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
