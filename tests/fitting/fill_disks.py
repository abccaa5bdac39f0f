"""Fit on a disk that is full from some moment on.

Usage: fill_disks.py STORE FOLDER. The fit of a small study is run in child processes, which write
to FOLDER/<n>/ensemble.json: the disk of the n-th is full from the n-th change on that it makes once
it has begun to write the spec. The last is the one that changes nothing more by then. Beside the
spec are its exit code and what it wrote to stderr.
"""

from __future__ import annotations

import errno
import os
import sys
from itertools import count
from pathlib import Path

from ensembler.cli.main import main as ensembler
from ensembler.spec.model import EnsembleSpec
from tests.disk_changes import before_each_change


def fill_at(change: int, folder: Path) -> None:
    """Let this process find the disk full from a change on, counted from the spec's writing."""
    save, left = EnsembleSpec.save, change

    def fill() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def armed(spec: EnsembleSpec, path: str | Path) -> None:
        before_each_change(folder, fill)
        save(spec, path)

    EnsembleSpec.save = armed  # type: ignore[assignment,method-assign] # in a process of its own


def fit(store: Path, folder: Path) -> None:
    """The command line's, as far as it comes."""
    sys.argv = [
        *("ensembler", "fit", str(store), "--spec", str(folder / "ensemble.json")),
        *("--trials", "5", "--study", str(folder.parent / "quick.toml")),
    ]
    ensembler()


def main(store: Path, place: Path) -> None:
    for change in count():
        folder = place / str(change)
        folder.mkdir()
        child = os.fork()
        if child == 0:
            told = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT)
            os.dup2(told, sys.stderr.fileno())
            os.dup2(told, sys.stdout.fileno())
            fill_at(change, folder)
            fit(store, folder)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        (folder / "code").write_text(str(code))
        if code == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
