"""Kill `ensembler fit` with SIGKILL, again and again, and resume it until it ends.

Usage: kill_fits.py STORE WORK JOBS SHARE OF. WORK/whole/ holds a fit that nobody killed, every
other folder of WORK one that was, with what was drawn in kills.txt:

    at-…      at a drawn change of one kind to the disk; of all kinds, this process takes every
              OF-th from SHARE on
    row       within drawn writes to the journal, early and late, each resumed fit killed again
    delayed-… from outside, after drawn parts of the time that the whole fit took
    finished  when it had ended and was resumed

The changes are the real ones: Python announces most before they happen (PEP 578); fsync and the
journal's writes are not announced, and are wrapped. A write that is killed leaves a drawn part of
its line. Each fit is a process of its own, forked so that nothing need be imported again.
"""

from __future__ import annotations

import builtins
import importlib
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any, NoReturn

from ensembler.cli.main import main as command_line
from tests.disk_changes import is_change

STUDY = (
    'trials = 30\nmembers = ["m0", "m1"]\nnorms = ["none", "l2", "power"]\nvalidation = "none"\n'
)
ROW, DELAYED = 6, 3  # how often one fit is killed; how many are killed from outside, twice each
JOURNAL = "/ensemble.journal.running"

Kill = tuple[str, int]  # at which kind of change, at which of that kind

for _loaded_late in (  # by a fit; loaded once here, for the many children
    *("joblib", "pyarrow.dataset", "pyarrow.parquet", "rich.progress", "scipy.optimize"),
    *("ensembler.api", "ensembler.cli.fit", "ensembler.fitting.caveats"),
    *("ensembler.evaluation.choosing", "ensembler.fitting.composing", "ensembler.fitting.held_out"),
    *("ensembler.search.journal", "ensembler.store.corpus"),
):
    importlib.import_module(_loaded_late)


class Changes:
    """What this process changes on the disk below a folder; at one of the changes it dies."""

    def __init__(self, folder: Path, kill: Kill | None) -> None:
        self.kinds: list[str] = []
        self._folder, self._kill = str(folder), kill
        self._open, self._fsync = builtins.open, os.fsync

    def watch(self) -> None:
        sys.addaudithook(self._announced)
        builtins.open = self._opening  # type: ignore[assignment] # for the journal, by Optuna
        os.fsync = self._syncing  # type: ignore[assignment] # one argument, as it is called here

    def _change(self, event: str, path: str = "") -> bool:
        """Note a change about to happen; whether it is the one to die at."""
        place = re.sub("[0-9a-f]{64}", "ENTRY", path.removeprefix(self._folder))
        kind = f"{event} {place}".strip()
        self.kinds.append(kind)
        return (kind, self.kinds.count(kind) - 1) == self._kill

    def _announced(self, event: str, args: tuple[Any, ...]) -> None:
        inside = is_change(event, args) and str(args[0]).startswith(self._folder)
        if inside and self._change(event, str(args[0])):
            die()

    def _syncing(self, descriptor: int) -> None:
        if self._change(f"fsync after {self.kinds[-1].removeprefix('fsync after ')}"):
            die()
        self._fsync(descriptor)

    def _opening(self, file: Any, mode: str = "r", *rest: Any, **named: Any) -> IO[Any]:  # noqa: ANN401 - as given
        opened = self._open(file, mode, *rest, **named)
        if mode == "ab":
            write = opened.write

            def writing(line: bytes) -> int:
                if self._change("write", str(file)):
                    write(line[: random.Random(repr(self._kill)).randrange(1, len(line))])
                    opened.flush()
                    die()
                return write(line)

            opened.write = writing  # type: ignore[assignment] # of this file alone
        return opened


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Fits:
    """Fits into one folder, each a process of its own."""

    def __init__(self, store: Path, folder: Path, jobs: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._store, self._jobs = store, jobs

    def run(self, kill: Kill | None = None, *, delay: float | None = None) -> None:
        """Fit, or go on where there is something to go on from.

        Args:
            kill: the change to the disk at which it dies; None for none.
            delay: after how many seconds it is killed; None for never.
        """
        child = os.fork()
        if child == 0:
            self._fit(kill)
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, -signal.SIGKILL):
            sys.exit(f"{self.folder.name}: exit {code}: {(self.folder / 'log').read_text()}")
        if kill and code == 0:
            sys.exit(f"{self.folder.name}: the fit was not killed at {kill}")
        what = f"killed at {kill or delay}" if code else "ended"
        left = sorted(f"{f.name} {f.stat().st_size}" for f in self.folder.glob("*ensemble*"))
        with (self.folder / "kills.txt").open("a") as file:
            file.write(f"{what}; left: {', '.join(left)}\n")

    def lines(self) -> int:
        """How many whole lines the running journal has."""
        journal = self.folder / JOURNAL[1:]
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def _fit(self, kill: Kill | None) -> NoReturn:
        os.environ["ENSEMBLER_CACHE"] = str(self.folder / "cache")
        log = os.open(self.folder / "log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        spec = self.folder / "ensemble.json"
        begun = any(self.folder.glob("ensemble.journal*"))
        sys.argv = [
            *("ensembler", "fit", str(self._store), "--spec", str(spec)),
            *("--study", str(self.folder.parent / "study.toml"), "--jobs", str(self._jobs)),
            *(["--resume"] if begun else []),
        ]
        changes = Changes(self.folder, kill)
        changes.watch()
        try:
            command_line()
        except SystemExit as ended:
            (self.folder / "changes.txt").write_text("\n".join(changes.kinds))
            os._exit(int(ended.code or 0))
        os._exit(1)


def main(store: Path, work: Path, jobs: int, share: int, of: int) -> None:
    (work / "study.toml").write_text(STUDY)
    rng = random.Random(share)

    def fits(name: str) -> Fits:
        return Fits(store, work / name, jobs)

    whole = fits("whole")
    begun = time.monotonic()
    whole.run()
    seconds = time.monotonic() - begun

    changes = (whole.folder / "changes.txt").read_text().splitlines()
    for kind in sorted(set(changes))[share::of]:
        one = fits(f"at-{re.sub('[^a-zA-Z.]+', '-', kind)}")
        one.run((kind, rng.randrange(changes.count(kind))))
        one.run()

    row, lines = fits("row"), range(changes.count(f"write {JOURNAL}"))
    for number in sorted(rng.sample(lines, ROW)):
        row.run((f"write {JOURNAL}", number - row.lines()))
    row.run((f"os.truncate {JOURNAL}", 0))  # while the torn line is cut
    row.run()

    for number in range(DELAYED):
        late = fits(f"delayed-{number}")
        late.run(delay=rng.uniform(0.0, seconds))
        late.run(delay=rng.uniform(0.0, seconds))
        late.run()

    finished = fits("finished")
    finished.run()
    finished.run((f"open {JOURNAL}", 1))  # while the journal is copied
    finished.run()


if __name__ == "__main__":
    store, work, *numbers = sys.argv[1:]
    main(Path(store), Path(work), *map(int, numbers))
