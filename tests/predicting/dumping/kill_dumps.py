"""Kill a dump again and again until it is through.

Usage: kill_dumps.py WORK STRIDE. WORK/base holds a store, images and models. For every STRIDE-th
step it is copied to WORK/<step>, and there the dump runs in child processes that are killed
(SIGKILL): the first at its step-th operation that changes the disk, in every other copy further
ones at random later operations of their own, until one gets through. The last copy is the one where
already the first did.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

# Loaded once here, for the many children.
import colours  # type: ignore[import-not-found] # noqa: F401 - of the package that the test installs
import pyarrow.csv
import pyarrow.parquet  # noqa: F401

from ensembler.dumping.dump import dump
from ensembler.store.reader import Store
from tests.disk_changes import before_each_change

NEVER = 1 << 30
PROGRESS = 12  # operations after which a resumed run has certainly got further


def arm(step: int, folder: Path) -> None:
    """Let this process be killed at its step-th operation that changes something in a folder."""
    left = step

    def tick() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    before_each_change(folder, tick)


def run(folder: Path) -> None:
    """The dump; nothing, where a run that was killed at its very end has stored the member."""
    if "words" not in Store.open(folder / "oof").names:
        dump(
            folder / "oof",
            "words",
            predictor=folder / "models/colour_words.toml",
            images=folder / "images",
            device="cpu",
            batch=3,
            workers=1,
            failures=folder / "failures.csv",
        )


def main(work: Path, stride: int) -> None:
    for step in count(0, stride):
        folder = work / str(step)
        shutil.copytree(work / "base", folder)
        chance = random.Random(step)
        kill_at, kills = step, 0
        while True:
            child = os.fork()
            if child == 0:
                arm(kill_at, folder)
                run(folder)
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == 0:
                break
            if code != -signal.SIGKILL:
                sys.exit(1)
            kill_at = chance.randrange(PROGRESS, 40) if step % (2 * stride) == 0 else NEVER
            kills += 1
        if kills == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
