"""The durable record of a study: an Optuna study to which complete trials are appended in order.

Trials are proposed by a study in memory and recorded in one write each, after they are known. So
a record never holds half a trial, its trial numbers are our own index, and resuming is replaying:
the same proposals are made again and their values looked up until the record ends.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
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

    @property
    def size(self) -> int:
        """How many trials were recorded when it was opened."""
        return len(self._known)

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
    return open_record(storage, f"{stem}-{number if resume else number + 1}", identity, url)


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


def open_record(
    storage: optuna.storages.BaseStorage, name: str, identity: str, place: str
) -> Record:
    """Open or begin the study of a name in a storage.

    Args:
        storage: any Optuna storage.
        name: of the study.
        identity: the digest of all that decides the sequence of trials.
        place: what a message calls the storage.

    Raises:
        StudyError: the study there has another identity.
    """
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


def in_memory_copy(study: optuna.Study) -> optuna.Study:
    """The same trials in a study that outlives its storage."""
    with quiet_optuna():
        copy = optuna.create_study(study_name=study.study_name, direction="maximize")
    copy.set_user_attr(IDENTITY, study.user_attrs[IDENTITY])
    copy.add_trials(study.get_trials(deepcopy=False))
    return copy
