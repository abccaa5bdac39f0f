"""Sharing out a batch: who claims what, who gives up, what becomes of claims without an owner."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import re
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from ensembler.errors import StudyError
from ensembler.search import claims
from ensembler.search.candidate import Candidate, Result
from ensembler.search.claims import SharedRecord
from ensembler.search.place import without_password
from ensembler.search.record import Proposal
from ensembler.search.storage import _open as open_storage
from ensembler.search.storage import storage_record

SPACE: dict[str, BaseDistribution] = {"alpha:m0": FloatDistribution(0.0, 2.0)}


def propose(index: int, alpha: float) -> Proposal:
    return Proposal(
        index=index,
        stage="flip",
        candidate=Candidate(centred=False, alphas=(alpha,)),
        parameters={"alpha:m0": alpha},
        distributions=SPACE,
    )


# Three units: 0 with 2, 1, and 3.
BATCH = [propose(0, 0.25), propose(1, 0.5), propose(2, 0.25), propose(3, 0.75)]
INDICES = [proposal.index for proposal in BATCH]
RESULTS = [Result(index / 8, 1, "CONVERGED") for index in INDICES]

Open = Callable[..., SharedRecord]


class Scoring:
    """Remembers what it scored; says who else comes in between."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.units: list[list[int]] = []
        self._meanwhile = meanwhile

    def __call__(self, unit: Sequence[Proposal]) -> list[Result]:
        self.units.append([proposal.index for proposal in unit])
        self._meanwhile()
        return [RESULTS[proposal.index] for proposal in unit]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A storage for all tests; making its tables takes longer than any of them."""
    return f"sqlite:///{tmp_path_factory.mktemp('storage') / 'study.db'}"


@pytest.fixture
def identity(request: pytest.FixtureRequest) -> str:
    """Of a study for each test."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()


@pytest.fixture
def join(url: str, identity: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """`join()`: one more process's record of the same study, as the storage gives it.

    Nobody is taken for dead soon, for the machine may be busy.
    """
    monkeypatch.setattr(claims, "HEARTBEAT_S", 1)
    with contextlib.ExitStack() as stack:

        def run(jobs: int = 1) -> SharedRecord:
            opened = storage_record(url, identity, resume=False, join=True, jobs=jobs)
            record = stack.enter_context(opened)
            assert isinstance(record, SharedRecord)
            return record

        yield run


def recorded(record: SharedRecord) -> list[FrozenTrial]:
    return record.study.get_trials()


def complete(record: SharedRecord) -> list[int]:
    """Indices of the complete trials, in order."""
    done = [t for t in recorded(record) if t.state == TrialState.COMPLETE]
    return sorted(trial.user_attrs["index"] for trial in done)


def test_one_process_scores_unit_by_unit_and_records_by_index(join: Open) -> None:
    record, scoring = join(), Scoring()
    assert record.settle(BATCH, scoring) == RESULTS
    assert scoring.units == [[0, 2], [1], [3]]
    assert [trial.user_attrs["index"] for trial in record.trials] == INDICES
    assert [trial.value for trial in record.trials] == [result.value for result in RESULTS]


def test_jobs_claim_several_units_at_once(join: Open) -> None:
    scoring = Scoring()
    join(jobs=2).settle(BATCH, scoring)
    assert scoring.units == [[0, 2, 1], [3]]


def test_what_is_recorded_is_looked_up(join: Open) -> None:
    join().settle(BATCH, Scoring())
    late, scoring = join(), Scoring()
    assert late.size == 4
    assert late.settle(BATCH, scoring) == RESULTS
    assert scoring.units == []


def test_two_processes_share_the_units_and_see_the_same_results(
    join: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting(Exception):  # noqa: N818 - no error, but the moment when nothing is left to claim
        pass

    def wait(_: float) -> None:
        raise Waiting

    monkeypatch.setattr(claims, "time", SimpleNamespace(sleep=wait))
    first, second = join(), join()
    theirs = Scoring()

    def meanwhile() -> None:
        with pytest.raises(Waiting):
            second.settle(BATCH, theirs)

    mine = Scoring(meanwhile)
    assert first.settle(BATCH, mine) == second.settle(BATCH, theirs) == RESULTS
    assert (mine.units, theirs.units) == ([[0, 2]], [[1], [3]])
    assert complete(first) == INDICES


def test_who_comes_second_gives_up_its_claim(join: Open) -> None:
    first, second = join(), join()
    seen = first._owners()  # nothing is claimed yet, both think
    unit = [BATCH[1]]
    assert second._claim(unit, seen)
    assert not first._claim(unit, seen)
    assert [trial.state.name for trial in recorded(first)] == ["RUNNING", "FAIL"]


def test_who_was_taken_for_dead_and_comes_back_completes_nothing_again(join: Open) -> None:
    first, second = join(), join()
    theirs = Scoring()

    def taken_for_dead() -> None:
        if not theirs.units:
            for trial in recorded(first):
                if trial.state == TrialState.RUNNING:
                    first._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            second.settle(BATCH, theirs)

    mine = Scoring(taken_for_dead)
    assert first.settle(BATCH, mine) == RESULTS
    assert (mine.units, theirs.units) == ([[0, 2]], [[0, 2], [1], [3]])
    assert complete(first) == INDICES


def test_a_unit_of_which_a_part_is_recorded_is_scored_whole_and_its_rest_recorded(
    join: Open,
) -> None:
    first, second = join(), join()
    first._claim([BATCH[0], BATCH[2]], {})
    first.append(BATCH[0], RESULTS[0])
    first._give_up(2)
    scoring = Scoring()
    assert second.settle(BATCH, scoring) == RESULTS
    assert scoring.units == [[0, 2], [1], [3]]
    assert complete(second) == INDICES


def test_a_claim_that_never_beat_is_not_waited_for_without_end(
    join: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "GRACE_S", 1)
    record = join()
    claim = BATCH[3].trial(index=3)  # its owner died on the spot
    record._storage.create_new_trial(record._study_id, claim)
    assert record.settle(BATCH, Scoring()) == RESULTS
    assert complete(record) == INDICES


def test_every_claim_beats_while_it_is_held(join: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    record = join()
    beats: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(record._storage, "record_heartbeat", beats.put)
    record._claim([BATCH[0], BATCH[2]], {})
    seen = {beats.get(timeout=300) for _ in range(4)}
    assert seen == set(record._held.values())


def test_a_wait_for_others_is_told_once(
    join: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record, other = join(), join()
    other._claim([BATCH[1]], {})
    looks = 0

    def look(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3 * claims.SAID:
            other.append(BATCH[1], RESULTS[1])

    monkeypatch.setattr(claims, "time", SimpleNamespace(sleep=look))
    with caplog.at_level(logging.INFO, "ensembler"):
        assert record.settle(BATCH, Scoring()) == RESULTS
    assert [line.partition(": ")[2] for line in caplog.messages] == [
        "1. Those of a dead process are taken over after 30 seconds."
    ]


def test_a_trial_that_somebody_damaged_is_refused(join: Open) -> None:
    record = join()
    record.study.add_trial(create_trial(value=0.5, user_attrs={"index": 0, "used": 1}))
    with pytest.raises(StudyError, match=r"trial 0 of the recorded study is damaged: COMPLETE"):
        join()


def test_an_interruption_gives_up_what_was_claimed(url: str, identity: str) -> None:
    def interrupted(_: Sequence[Proposal]) -> list[Result]:
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        storage_record(url, identity, resume=False, join=True, jobs=2) as record,
    ):
        record.settle(BATCH, interrupted)
    with storage_record(url, identity, resume=True, join=False, jobs=1) as record:
        assert [trial.state.name for trial in record.study.get_trials()] == ["FAIL"] * 3
        assert record.settle(BATCH, Scoring()) == RESULTS


def test_trials_that_somebody_else_put_into_the_study_are_left_alone(join: Open) -> None:
    record = join()
    record.study.add_trial(create_trial(value=9.0))
    record.study.enqueue_trial({"alpha:m0": 1.5})
    assert record.settle(BATCH, Scoring()) == RESULTS
    assert [trial.user_attrs["index"] for trial in record.trials] == INDICES


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.COMPLETE])
def test_a_process_that_proposes_other_trials_is_refused(state: TrialState, join: Open) -> None:
    record = join()
    result = None if state == TrialState.RUNNING else RESULTS[3]
    other = propose(3, 1.75).trial(result, index=3)
    record._storage.create_new_trial(record._study_id, other)
    with pytest.raises(StudyError, match="trial 3 of the recorded study is not the one this study"):
        record.settle(BATCH, Scoring())


def test_fresh_studies_are_numbered_on_and_the_latest_is_joined(url: str, identity: str) -> None:
    names = []
    for join in (True, True, False, False, True):
        with storage_record(url, identity, resume=False, join=join, jobs=1) as record:
            names.append(record.study.study_name)
    assert [name.removeprefix(f"ensembler-{identity[:12]}-") for name in names] == list("11233")


def test_a_storage_that_is_lost_after_the_last_batch_is_not_missed(
    url: str, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out scores may take hours after the search, and need no storage."""

    def lost(*_: object) -> None:
        raise StorageInternalError

    with storage_record(url, identity, resume=False, join=True, jobs=1) as record:
        record.settle(BATCH, Scoring())
        monkeypatch.setattr(RDBStorage, "_get_trials", lost)
        monkeypatch.setattr(RDBStorage, "get_study_user_attrs", lost)
    assert [trial.user_attrs["index"] for trial in record.study.trials] == INDICES
    with (
        pytest.raises(StudyError, match=r"was lost: .* with --resume or --join goes on"),
        storage_record(url, identity, resume=False, join=True, jobs=1),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("mysql+pymysql://u:se:cr/e@t@host/db", "mysql+pymysql://u:***@host/db"),
        ("postgresql://u@corp:secret@host/db", "postgresql://u@corp:***@host/db"),
        ("postgresql://host/db?PGPASSWORD=secret", "postgresql://host/db?PGPASSWORD=***"),
        ("mysql://host/db?user=u&passwd=secret", "mysql://host/db?user=u&passwd=***"),
        ("postgresql://host/db?user=u&password=secret&port=1", "postgresql://host/db?user=u&password=***&port=1"),
        ("postgresql://u@host/db", "postgresql://u@host/db"),
        ("sqlite:////home/me/study.db", "sqlite:////home/me/study.db"),
        ("C:me@work.journal", "C:me@work.journal"),
    ],
)  # fmt: skip
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(f"--storage={url}") == f"--storage={shown}"


@pytest.mark.parametrize("given", ["u:se@cr@host/db", "u:s/e@c/r@host/db", "u:p@host/db?user=a@b"])
def test_a_url_that_would_be_split_within_its_password_is_refused(given: str) -> None:
    with pytest.raises(StudyError, match="percent-encode all but the one before") as caught:
        open_storage(f"postgresql+psycopg://{given}")
    assert "postgresql+psycopg://u:***@" in str(caught.value)
    assert not {"se", "cr", "s/e", "c/r"} & set(re.split(r"[@:/' ]", str(caught.value)))


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("mysql+nodriver://u@host/db", "as in sqlite:///study.db"),
        ("mysql+mysqldb://u@host/db", "install that driver, or name another in the URL"),
        ("postgresql+pg8000://u@host/db", r"pip install 'oof-ensembler\[postgresql\]'"),
    ],
)
def test_a_missing_driver_is_told_with_the_remedy(url: str, remedy: str) -> None:
    with pytest.raises(StudyError, match=rf"^the storage '{re.escape(url)}' cannot .*{remedy}"):
        open_storage(url)
