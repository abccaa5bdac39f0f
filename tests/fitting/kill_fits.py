"""Kill a fit at many moments, resume each, and leave the specs for a test to compare.

Usage: kill_fits.py STORE WORK. A child process fits into WORK/<moment>/ and dies there without any
clean-up; then this process resumes the fit. WORK/whole/ holds the one that nobody killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from ensembler import api
from ensembler.search.candidate import Trial
from ensembler.search.definition import StudyDefinition
from ensembler.search.record import Record
from ensembler.spec.model import EnsembleSpec

KILLED = 86
STUDY = StudyDefinition(trials=45, validation="none")  # held-out scores record nothing

append, write, save, replace = (
    Record.append,
    JournalFileBackend.append_logs,
    EnsembleSpec.save,
    Path.replace,
)


def fit(store: Path, folder: Path, *, resume: bool = False) -> None:
    api.fit(store, study=STUDY, spec=folder / "ensemble.json", resume=resume)


def at_trial(number: int) -> None:
    """Die before a trial is recorded, the others of its batch being known already."""

    def dying(record: Record, trial: Trial, *rest: dict[str, Any]) -> None:
        if trial.index == number:
            os._exit(KILLED)
        append(record, trial, *rest)

    Record.append = dying  # type: ignore[assignment, method-assign] # in a child that is about to die


def torn_at(number: int) -> None:
    """Die in the middle of a line of the journal."""
    left = number

    def dying(backend: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal left
        if left == 0:
            with Path(backend._file_path).open("ab") as file:
                file.write(b'{"op_code": 4, "worker_id": "torn')
            Path(f"{backend._file_path}.lock").symlink_to("nobody")  # and the lock stays behind
            os._exit(KILLED)
        left -= 1
        write(backend, logs)

    JournalFileBackend.append_logs = dying  # type: ignore[assignment, method-assign] # as above


def before_the_spec() -> None:
    """Die when all trials are known and the spec is about to be written."""
    EnsembleSpec.save = lambda *_: os._exit(KILLED)  # type: ignore[method-assign] # as above


def between_spec_and_journal() -> None:
    """Die when the new spec is in place and the journal is not."""

    def dying(path: Path, target: Path) -> Path:
        if path.name.endswith(".running"):
            os._exit(KILLED)
        return replace(path, target)

    Path.replace = dying  # type: ignore[assignment, method-assign] # as above


MOMENTS: dict[str, Callable[[], None]] = {
    "trial-0": lambda: at_trial(0),
    "trial-7": lambda: at_trial(7),
    "trial-20": lambda: at_trial(20),
    "trial-44": lambda: at_trial(44),
    "write-0": lambda: torn_at(0),
    "write-1": lambda: torn_at(1),
    "write-30": lambda: torn_at(30),
    "before-spec": before_the_spec,
    "before-journal": between_spec_and_journal,
}


def main(store: Path, work: Path) -> None:
    (work / "whole").mkdir()
    fit(store, work / "whole")
    for moment, arm in MOMENTS.items():
        folder = work / moment
        folder.mkdir()
        child = os.fork()
        if child == 0:
            arm()
            fit(store, folder)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != KILLED:
            sys.exit(f"{moment}: the fit was not killed there ({code})")
        fit(store, folder, resume=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
