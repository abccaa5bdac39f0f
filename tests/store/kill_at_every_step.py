"""Run a store command again and again, each time killed one file operation later.

Usage: kill_at_every_step.py WORK COMMAND. WORK/base is copied to WORK/0, WORK/1, …; in copy k the
command runs in a child process that dies, without any clean-up, at its k-th operation that changes
the disk. The last copy is the one where the command ran to its end.

The operations are the real ones: Python announces each before it happens (PEP 578). Only fsync is
not announced, and is wrapped.
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

KILLED = 86
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}

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

    def watch(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            writes = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if writes and str(args[0]).startswith(str(folder)):
                tick()
        elif event in CHANGES:
            tick()

    flush = os.fsync

    def counted_flush(descriptor: int) -> None:
        tick()
        flush(descriptor)

    os.fsync = counted_flush  # type: ignore[assignment] # one argument, as it is called here
    sys.addaudithook(watch)


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
