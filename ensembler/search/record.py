"""The durable record of a study: an Optuna study that holds its complete trials.

Trials are proposed by a study in memory and recorded when they are known, so resuming is replaying:
the same proposals are made again and their results looked up as far as the record goes. This record
is written by one process, each trial in one write and in order; claims.py has one for several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from ensembler.errors import StudyError
from ensembler.search.candidate import Candidate, Result
from ensembler.search.quiet import quiet_optuna
from ensembler.search.results import as_recorded, result_of

IDENTITY = "ensembler:identity"
METRIC = "mean cosine"  # what a dashboard writes at its axes
STUDY_NAME = "ensembler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A trial before it is scored.

    Attributes:
        index: its place in the study.
        stage: what proposed it: "baseline", "flip" or "sampler".
        candidate: what is to be scored.
        parameters: how Optuna records the candidate.
        distributions: of each parameter.
    """

    index: int
    stage: str
    candidate: Candidate
    parameters: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]

    def trial(self, result: Result | None = None, **attributes: str | int) -> FrozenTrial:
        """The proposal as a trial of Optuna's: done, or without a result RUNNING."""
        outcome: dict[str, Any] = {"state": TrialState.RUNNING}
        if result is not None:
            outcome = as_recorded(result)
            attributes |= {"used": result.used, "status": result.status}
        return create_trial(
            **outcome,
            params=dict(self.parameters),
            distributions={name: self.distributions[name] for name in self.parameters},
            user_attrs={"stage": self.stage, "rule": self.candidate.rule, **attributes},
        )

    def check(self, recorded: FrozenTrial) -> None:
        """Compare with what is recorded at this place.

        Raises:
            StudyError: something else was proposed there.
        """
        rule = recorded.user_attrs.get("rule")
        if recorded.params != self.parameters or rule != self.candidate.rule:
            raise StudyError(
                f"trial {self.index} of the recorded study is not the one this study proposes"
                " (another version of optuna or numpy, or was the file changed?); start afresh"
                " without --resume or --join"
            )


Score = Callable[[Sequence[Proposal]], list[Result]]


class Record:
    """Complete trials of one study, in order.

    Args:
        study: the Optuna study they are kept in.

    Raises:
        StudyError: a trial there is none that a fit records.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self._known = self._complete()
        self._results = [result_of(trial) for trial in self._known]

    @property
    def size(self) -> int:
        """How many trials were recorded when it was opened."""
        return len(self._known)

    def settle(self, batch: Sequence[Proposal], score: Score) -> list[Result]:
        """The results of a batch: looked up, or scored and recorded.

        Args:
            batch: proposals, in order.
            score: scores some of them, to the same digits whichever; called once at most.

        Raises:
            StudyError: the record has other trials there.
        """
        known = [self._known[p.index] for p in batch if p.index < len(self._known)]
        for proposal, trial in zip(batch, known, strict=False):
            proposal.check(trial)
        results = [self._results[p.index] for p in batch[: len(known)]]
        if len(known) < len(batch):
            new = batch[len(known) :]
            for proposal, result in zip(new, score(new), strict=True):
                self.append(proposal, result)
                results.append(result)
        return results

    def append(self, proposal: Proposal, result: Result) -> None:
        """Record one complete trial, in one write."""
        self.study.add_trial(proposal.trial(result))

    def _complete(self) -> list[FrozenTrial]:
        """The trials that were recorded, in the order of their places."""
        return self.study.get_trials(deepcopy=False)


def in_memory() -> Record:
    """A record that lasts as long as the process."""
    with quiet_optuna():
        return Record(optuna.create_study(direction="maximize"))


def open_study(
    storage: optuna.storages.BaseStorage, name: str, identity: str, place: str
) -> optuna.Study:
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
        if name in optuna.get_all_study_names(storage):  # creating it anew would be recorded too
            study = optuna.load_study(study_name=name, storage=storage)
        else:
            study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
        if study.metric_names is None:
            study.set_metric_names([METRIC])
    recorded = study.user_attrs.get(IDENTITY)
    if recorded is None:
        study.set_user_attr(IDENTITY, identity)
    elif recorded != identity:
        raise StudyError(
            f"{place} records another study: store, members, definition or seed differ;"
            " start afresh without --resume"
        )
    return study


def in_memory_study(name: str, identity: str, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """A study of complete trials, numbered in their order, that needs no storage."""
    with quiet_optuna():
        study = optuna.create_study(study_name=name, direction="maximize")
        study.set_metric_names([METRIC])
    study.set_user_attr(IDENTITY, identity)
    study.add_trials(trials)
    return study
