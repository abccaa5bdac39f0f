"""A record that several processes fill together, on one machine or many, through one database.

All of them propose the same batches; what they share out is the scoring. A unit of work is claimed
by creating a RUNNING trial for each of its indices, and an index belongs to the trial that Optuna
gave the lowest number among those not FAIL. Whoever finds that it came second fails its own trial.
A claim whose owner stopped beating is failed by those who wait for it, and claimed again.

Complete is what is COMPLETE or, where a sample of the rows ruled it out, PRUNED. No index is lost,
for what is neither complete nor claimed is claimed; and none is complete twice:
a trial is completed only by who saw all lower numbers of its index FAIL, FAIL is final, and Optuna
refuses to complete a failed trial, as when its owner was taken for dead and comes back.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from ensembler.errors import first_few
from ensembler.search.candidate import Result, Scaling
from ensembler.search.quiet import quiet_optuna
from ensembler.search.record import Proposal, Record, Score
from ensembler.search.results import DONE, complete, result_of

INDEX = "index"  # the user attribute that tells a trial's place; its number tells who came first
WAIT_S = 0.1  # between two looks at what others are scoring
SAID = 20  # looks in vain after which a user is told what is waited for
# Whole seconds of the database's clock; a test may shorten them before it opens a storage. A busy
# machine or a slow network may keep a beat back for some seconds; silence beyond that is death.
HEARTBEAT_S = 5
GRACE_S = 30

_log = logging.getLogger(__name__)

Unit = list[Proposal]


class SharedRecord(Record):
    """Complete trials of one study, by index, and who is scoring the others.

    Args:
        storage: made with a heartbeat.
        study: in that storage.
        at_once: how many units to claim and score together: the process's jobs.

    Attributes:
        trials: of the batches settled so far, by index; what others recorded beyond is not here.
    """

    def __init__(self, storage: RDBStorage, study: optuna.Study, at_once: int) -> None:
        super().__init__(study)
        self.trials: list[FrozenTrial] = []
        self._storage, self._at_once = storage, at_once
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._held: dict[int, int] = {}  # index → trial id, of the claims of this process
        self._met: set[int] = set()  # numbers of others' claims

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep this process's claims alive; give up those it still has when the block ends."""
        ended = threading.Event()
        heart = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        heart.start()
        try:
            yield
        finally:
            ended.set()
            heart.join()
            with contextlib.suppress(StorageInternalError):  # gone; the claims will be found stale
                for index in tuple(self._held):
                    self._give_up(index)

    def settle(self, batch: Sequence[Proposal], score: Score) -> list[Result]:
        """The results of a batch, from whoever scored it; returns when all are known.

        A unit of which the record has a part is scored whole.

        Args:
            batch: proposals, in order.
            score: scores one unit or several; called as often as one could be claimed.

        Raises:
            StudyError: the record has other trials there.
        """
        units = _units(batch)
        looks = 0
        while True:
            owners = self._owners()
            for proposal in batch:
                if proposal.index in owners:
                    proposal.check(owners[proposal.index])
            if all(_done(owners.get(proposal.index)) for proposal in batch):
                settled = [owners[proposal.index] for proposal in batch]
                self.trials += settled
                return [result_of(trial) for trial in settled]
            claimed = list(islice((u for u in units if self._claim(u, owners)), self._at_once))
            if claimed:
                together = list(chain.from_iterable(claimed))
                for proposal, result in zip(together, score(together), strict=True):
                    if proposal.index in self._held:
                        self.append(proposal, result)
            else:
                looks += 1
                if looks == SAID:
                    others = (p.index for p in batch if not _done(owners.get(p.index)))
                    _log.info(
                        "Waiting for trials that other processes are scoring: %s. Those of a dead"
                        " process are taken over after %d seconds.",
                        first_few(others),
                        GRACE_S,
                    )
                self._fail_the_dead(owners)
                time.sleep(WAIT_S)

    def append(self, proposal: Proposal, result: Result) -> None:
        """Complete a claim of this process, unless it was taken for dead and the claim is lost."""
        trial_id = self._held[proposal.index]
        with contextlib.suppress(RuntimeError):  # what Optuna raises for a trial that has ended
            complete(self._storage, trial_id, result)
        del self._held[proposal.index]

    def _complete(self) -> list[FrozenTrial]:
        return [trial for trial in self._owners().values() if _done(trial)]

    def _owners(self) -> dict[int, FrozenTrial]:
        """Index → its trial: complete, or being scored; trials that are not ours have no index."""
        owners: dict[int, FrozenTrial] = {}
        states = (TrialState.RUNNING, *DONE)
        for trial in self.study.get_trials(deepcopy=False, states=states):  # lowest number first
            if INDEX in trial.user_attrs:
                owners.setdefault(trial.user_attrs[INDEX], trial)
        return owners

    def _claim(self, unit: Unit, owners: dict[int, FrozenTrial]) -> bool:
        """Claim what is left of a unit, if it is nobody's; whether this process now has it."""
        left = [p for p in unit if not _done(owners.get(p.index))]
        if not left or any(proposal.index in owners for proposal in left):
            return False
        for proposal in left:
            claim = proposal.trial(None, **{INDEX: proposal.index})
            trial_id = self._storage.create_new_trial(self._study_id, claim)
            self._held[proposal.index] = trial_id
            first = self._owners().get(proposal.index)
            if first is None or first.number != self._storage.get_trial_number_from_id(trial_id):
                for claimed in left:
                    self._give_up(claimed.index)
                return False
        return True

    def _give_up(self, index: int) -> None:
        trial_id = self._held.pop(index, None)
        if trial_id is not None:
            with contextlib.suppress(RuntimeError):  # taken for dead, it has ended already
                self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _fail_the_dead(self, owners: dict[int, FrozenTrial]) -> None:
        """Fail the claims that ceased to beat.

        One that never did is alive to Optuna for ever, even if its owner died on the spot: whoever
        meets a claim gives it a beat, from which its owner has its time to go on.
        """
        with quiet_optuna():
            fail_stale_trials(self.study)
        for claim in owners.values():
            if claim.state == TrialState.RUNNING and claim.number not in self._met:
                self._met.add(claim.number)
                self._storage.record_heartbeat(
                    self._storage.get_trial_id_from_study_id_trial_number(
                        self._study_id, claim.number
                    )
                )

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT_S):
            with contextlib.suppress(StorageInternalError):  # who scores will notice, and tell
                for trial_id in tuple(self._held.values()):
                    self._storage.record_heartbeat(trial_id)
        self._storage.remove_session()  # this thread's


def _units(batch: Sequence[Proposal]) -> list[Unit]:
    """Proposals that are scored in one matrix product: equal centring and norms."""
    units: dict[Scaling, Unit] = {}
    for proposal in batch:
        units.setdefault(proposal.candidate.scaling, []).append(proposal)
    return list(units.values())


def _done(trial: FrozenTrial | None) -> bool:
    return trial is not None and trial.state in DONE
