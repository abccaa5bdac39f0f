"""The record of a study in an Optuna journal file, beside the spec.

Optuna's dashboard opens it as it is. A kill may leave half a line at its end, which Optuna would
refuse: it is cut off on opening. Other damage is refused, with its place.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ensembler.errors import StudyError
from ensembler.files import atomic_write
from ensembler.search.record import STUDY_NAME, Record, in_memory_study, open_study
from ensembler.search.sole_writer import sole_writer, told

RUNNING = ".running"  # added to a journal's name until its fit has ended
INTERRUPTED = ".interrupted"  # added to the name of one that a fresh start found there

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def journal_record(path: Path, identity: str, *, resume: bool) -> Iterator[Record]:
    """A record in a journal file, which appears at `path` when the block ends well.

    Until then it is written beside it, as NAME.running; that is what a later --resume goes on from,
    and it goes where the block fails before the first trial.
    A fresh start keeps what an interrupted one left there, under a name of its own, and tells so.

    Args:
        path: of the finished journal.
        identity: the digest of all that decides the sequence of trials.
        resume: go on from the running journal, else from the finished one; else start afresh.

    Raises:
        StudyError: the journal cannot be written, another process writes it, there is nothing to
            resume, or what there is was damaged or belongs to another study.
    """
    running = path.with_name(path.name + RUNNING)
    if path.is_dir():
        raise StudyError(f"{path} is a folder, not a journal; give --spec another name")
    with sole_writer(running) as interrupted:
        place = path if resume and not interrupted else running
        try:
            if not place.exists():
                raise StudyError(f"nothing to resume: neither {running} nor {path} exists")
            with told(running):
                if not resume:
                    _keep(running)
                    running.write_bytes(b"")
                elif not interrupted:
                    shutil.copyfile(path, running)
            _drop_torn_line(running, place)
            record = _open(running, identity, place)
        except StudyError:
            if not interrupted:
                running.unlink()
            raise
        try:
            yield record
        except BaseException:
            if not interrupted and not record.study.get_trials(deepcopy=False):
                running.unlink()  # there is nothing to go on from
            raise
        trials = record.study.get_trials(deepcopy=False)
        record.study = in_memory_study(STUDY_NAME, identity, trials)  # the file may be replaced
        with told(path):
            running.replace(path)


def _keep(running: Path) -> None:
    """Copy hours of trials, perhaps: a --resume forgotten is not the end of them."""
    if not running.stat().st_size:
        return
    names = (f"{running.stem}{INTERRUPTED}-{number}" for number in itertools.count(1))
    kept = next(path for path in map(running.with_name, names) if not path.exists())
    with atomic_write(kept) as file:
        file.write(running.read_bytes())
    _log.info(
        "%s keeps the trials of a fit that was interrupted; renamed to %s, it is what --resume goes"
        " on from.",
        kept,
        running.name,
    )


def _drop_torn_line(path: Path, place: Path) -> None:
    """Cut what a kill left of a last line; without this Optuna refuses the whole journal."""
    *lines, torn = path.read_bytes().split(b"\n")
    broken = next((n for n, line in enumerate(lines, 1) if not _is_entry(line)), None)
    if broken:  # by no kill: one write, one line
        raise StudyError(
            f"line {broken} of {place} is no entry of a journal; put back a copy of the file, or"
            " start afresh without --resume"
        )
    if torn:
        os.truncate(path, sum(len(line) + 1 for line in lines))


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "op_code" in entry


def _open(running: Path, identity: str, place: Path) -> Record:
    """The record in a journal whose lines are whole.

    Args:
        running: the journal.
        identity: of the study it must record, unless it is empty.
        place: what a message calls the journal.

    Raises:
        StudyError: Optuna cannot make sense of an entry, or the study is another.
    """
    try:
        return Record(
            open_study(JournalStorage(_Journal(running)), STUDY_NAME, identity, str(place))
        )
    except StudyError:
        raise
    except Exception as error:  # for each thing that an entry can lack Optuna raises another
        raise StudyError(
            f"{place} has an entry that is none of a study ({error!r}); put back a copy of the"
            " file, or start afresh without --resume"
        ) from error


class _Journal(JournalFileBackend):
    """A journal file that `sole_writer` holds."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_NoLock(str(path)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write entries, on the disk when it returns.

        Raises:
            StudyError: the disk does not take them.
        """
        with told(self._path):
            super().append_logs(logs)


class _NoLock(JournalFileOpenLock):
    """Nothing to hold, and nothing for a kill to leave behind: `sole_writer` holds the journal."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
