"""The record of a study in an Optuna journal file, beside the spec.

Optuna's dashboard opens it as it is. A kill may leave half a line at its end, which Optuna would
refuse, and a stale lock, which it would wait for: both are put right on opening.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from ensembler.errors import StudyError
from ensembler.files import locked
from ensembler.search.record import STUDY_NAME, Record, in_memory_copy, open_record

RUNNING = ".running"  # added to a journal's name until its fit has ended


@contextlib.contextmanager
def journal_record(path: Path, identity: str, *, resume: bool) -> Iterator[Record]:
    """A record in a journal file, which appears at `path` when the block ends well.

    Until then it is written beside it, as NAME.running; that is what a later --resume goes on from.
    A fresh start moves what an interrupted one left there to NAME.interrupted.

    Args:
        path: of the finished journal.
        identity: the digest of all that decides the sequence of trials.
        resume: go on from the running journal, else from the finished one; else start afresh.

    Raises:
        StudyError: the journal cannot be written, another process writes it, there is nothing to
            resume, or what there is belongs to another study.
    """
    running = path.with_name(path.name + RUNNING)
    interrupted = running.exists()
    if resume and not interrupted and not path.exists():
        raise StudyError(f"nothing to resume: neither {running} nor {path} exists")
    with _sole_writer(running):
        if not resume:
            if interrupted:  # hours of trials, perhaps: a --resume forgotten is not the end of them
                shutil.copyfile(running, path.with_name(path.name + ".interrupted"))
            running.write_bytes(b"")
        elif interrupted:
            _drop_torn_line(running)
        else:
            shutil.copyfile(path, running)
        # Whoever held the lock is gone: this process is the sole writer.
        lock = JournalFileOpenLock(str(running))
        Path(f"{running}.lock").unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(running), lock_obj=lock))
        try:
            record = open_record(storage, STUDY_NAME, identity, str(running))
        except StudyError:
            if not interrupted:
                running.unlink()
            raise
        yield record
        record.study = in_memory_copy(record.study)  # the file may be replaced by a later fit
        running.replace(path)


@contextlib.contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    """Hold the file, which is made if need be."""
    try:
        path.open("ab").close()  # makes it; unlike touch, fails where it cannot be written
    except OSError as error:
        raise StudyError(
            f"{path} cannot be written ({error.strerror}); name a spec in a folder that can be"
            " written"
        ) from error
    try:
        with locked(path, wait=False):
            yield
    except BlockingIOError as error:
        raise StudyError(
            f"another fit is writing {path}; wait for it, or give --spec another name"
        ) from error


def _drop_torn_line(path: Path) -> None:
    """Cut what a kill left of a last line; without this Optuna refuses the whole journal."""
    with path.open("rb+") as file:
        whole = 0
        for line in file:
            try:
                json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
        file.truncate(whole)
