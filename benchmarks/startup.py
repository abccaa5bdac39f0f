"""Start-up: fresh interpreters that import ensembler, or print its help, beside `import numpy`."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.answers import check
from benchmarks.table import Line, Result
from benchmarks.timing import medians

ROOT = Path(__file__).parents[1]  # where a fresh interpreter finds ensembler
RUNS = {"toy": 1, "small": 11, "full": 21}
HELP = "import sys; sys.argv = ['ensembler', '--help']; from ensembler.cli.main import main; main()"
CODE = {  # the code to run, and the beginning of its output
    "import numpy": ("import numpy; print(numpy.__name__)", "numpy"),
    "import ensembler": ("import ensembler; print(ensembler.__name__)", "ensembler"),
    "ensembler --help": (HELP, "Usage: ensembler"),
    "an empty program": ("print('empty')", "empty"),
}


def run(size: str) -> list[Result]:
    """One table."""
    for code, beginning in CODE.values():  # warms up: bytecode and the page cache
        printed = _run(code)
        check(printed.startswith(beginning), f"{code!r} printed {printed[:60]!r}")
    seconds = medians(RUNS[size], {name: partial(_run, code) for name, (code, _) in CODE.items()})
    lines = tuple(Line(name=name, seconds=value) for name, value in seconds.items())
    return [Result(title="start-up of a fresh process", lines=lines)]


def _run(code: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own few lines
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    return done.stdout
