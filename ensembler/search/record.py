"""The durable record of a study: an Optuna study to which complete trials are appended in order.

Trials are proposed by a study in memory and recorded in one write each, after they are known. So
a record never holds half a trial, its trial numbers are our own index, and resuming is replaying:
the same proposals are made again and their values looked up until the record ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import create_trial

from ensembler.errors import StudyError
from ensembler.search.candidate import Result, Trial

IDENTITY = "ensembler:identity"
STUDY_NAME = "ensembler"


class Record:
    """Complete trials of one study, in order.

    Args:
        study: the Optuna study they are kept in.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self._known = study.get_trials(deepcopy=False)

    def known(self, index: int, parameters: Mapping[str, Any], rule: str) -> Result | None:
        """The result of a trial recorded earlier.

        Args:
            index: its place in the study.
            parameters: what is about to be scored there.
            rule: how its weights come about.

        Returns:
            None where the record ends before it.

        Raises:
            StudyError: the record has something else there.
        """
        if index >= len(self._known):
            return None
        trial = self._known[index]
        if trial.params != dict(parameters) or trial.user_attrs.get("rule") != rule:
            raise StudyError(
                f"trial {index} of the recorded study is not the one this study proposes (another"
                " version of optuna or numpy?); start afresh without --resume"
            )
        attributes = trial.user_attrs
        return Result(float(trial.value or 0.0), attributes["used"], attributes["status"])

    def append(
        self, trial: Trial, parameters: Mapping[str, Any], space: Mapping[str, BaseDistribution]
    ) -> None:
        """Record one complete trial, in one write."""
        self.study.add_trial(
            create_trial(
                value=trial.value,
                params=dict(parameters),
                distributions={name: space[name] for name in parameters},
                user_attrs={
                    "stage": trial.stage,
                    "rule": trial.candidate.rule,
                    "used": trial.used,
                    "status": trial.status,
                },
            )
        )


def in_memory() -> Record:
    """A record that lasts as long as the process."""
    with quiet_optuna():
        return Record(optuna.create_study(direction="maximize"))


@contextlib.contextmanager
def journal_record(path: Path, identity: str, *, resume: bool) -> Iterator[Record]:
    """A record in a journal file, which appears at `path` when the block ends well.

    Until then it is written beside it, as NAME.running; that is what a later --resume goes on from.

    Args:
        path: of the finished journal.
        identity: the digest of all that decides the sequence of trials.
        resume: go on from the running journal, else from the finished one; else start afresh.

    Raises:
        StudyError: the journal cannot be written, another process writes it, there is nothing to
            resume, or what there is belongs to another study.
    """
    running = path.with_name(path.name + ".running")
    if resume and not running.exists():
        if not path.exists():
            raise StudyError(f"nothing to resume: neither {running} nor {path} exists")
        shutil.copyfile(path, running)
    with _sole_writer(running):
        if resume:
            _drop_torn_line(running)
        else:
            running.write_bytes(b"")
        # Whoever held the lock is gone: this process is the sole writer.
        lock = JournalFileOpenLock(str(running))
        Path(f"{running}.lock").unlink(missing_ok=True)
        storage = JournalStorage(JournalFileBackend(str(running), lock_obj=lock))
        record = _open(storage, STUDY_NAME, identity, str(running))
        yield record
        record.study = _in_memory_copy(record.study)  # the file may be replaced by a later fit
        running.replace(path)


def storage_record(url: str, identity: str, *, resume: bool) -> Record:
    """A record in any Optuna storage.

    A fresh study takes a name of its own, so that nothing recorded earlier is lost.

    Args:
        url: as Optuna takes it, as in `sqlite:///study.db`.
        identity: the digest of all that decides the sequence of trials.
        resume: go on from the latest study of this identity.

    Raises:
        StudyError: the storage cannot be opened, or there is nothing to resume.
    """
    try:
        storage = optuna.storages.get_storage(url)
        names = optuna.get_all_study_names(storage)
    except Exception as error:  # every driver raises its own
        reason = str(error).partition("\n")[0]
        raise StudyError(f"the storage {url!r} cannot be opened: {reason}") from error
    stem = f"{STUDY_NAME}-{identity[:12]}"
    number = sum(name.startswith(stem) for name in names)
    if resume and number == 0:
        raise StudyError(
            f"nothing to resume: {url} has no study of these members and this definition"
        )
    return _open(storage, f"{stem}-{number if resume else number + 1}", identity, url)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna's information messages and experimental warnings, off for a while."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _open(storage: optuna.storages.BaseStorage, name: str, identity: str, place: str) -> Record:
    with quiet_optuna():
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
    recorded = study.user_attrs.get(IDENTITY)
    if recorded is None:
        study.set_user_attr(IDENTITY, identity)
    elif recorded != identity:
        raise StudyError(
            f"{place} records another study: store, members, definition or seed differ;"
            " start afresh without --resume"
        )
    return Record(study)


def _in_memory_copy(study: optuna.Study) -> optuna.Study:
    with quiet_optuna():
        copy = optuna.create_study(study_name=study.study_name, direction="maximize")
    copy.set_user_attr(IDENTITY, study.user_attrs[IDENTITY])
    copy.add_trials(study.get_trials(deepcopy=False))
    return copy


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


@contextlib.contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    """Hold a lock on the file that the system releases at any kind of death."""
    if os.name == "nt":  # no flock there: two fits at once into one file are the user's to avoid
        yield
        return
    import fcntl

    try:
        file = path.open("ab")
    except OSError as error:
        raise StudyError(
            f"{path} cannot be written ({error.strerror}); name a spec in a folder that can be"
            " written"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StudyError(
                f"another fit is writing {path}; wait for it, or give --spec another name"
            ) from error
        yield
