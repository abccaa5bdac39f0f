"""Run a store command again and again, each time killed one file operation later.

Usage: kill_at_every_step.py WORK COMMAND. WORK/base is copied to WORK/0, WORK/1, …; in copy k the
command runs in a child process that dies, without any clean-up, at its k-th operation that changes
the disk. The last copy is the one where the command ran to its end.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

# Loaded once here, for the many children.
import pyarrow.csv
import pyarrow.parquet  # noqa: F401

from ensembler.store.create import create_store
from ensembler.store.writer import add_member, remove_member
from tests.disk_changes import before_each_change

KILLED = 86

COMMANDS: dict[str, Callable[[Path], object]] = {
    "create": lambda at: create_store(at / "new", at / "s.csv", targets=at / "t.npy"),
    "add": lambda at: add_member(at / "store", "late", [at / "late.npz"]),
    "remove": lambda at: remove_member(at / "store", "early"),
}


def arm(step: int, folder: Path) -> None:
    """Let this process die at its step-th operation that changes something below `folder`."""
    left = step

    def tick() -> None:
        nonlocal left
        if left == 0:
            os._exit(KILLED)
        left -= 1

    before_each_change(folder, tick)


def main(work: Path, command: str) -> None:
    for step in count():
        folder = work / str(step)
        shutil.copytree(work / "base", folder)
        child = os.fork()
        if child == 0:
            arm(step, folder)
            COMMANDS[command](folder)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            return
        if code != KILLED:
            sys.exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
