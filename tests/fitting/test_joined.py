"""Several processes on one study, in PostgreSQL or SQLite: no trial lost, none twice, one spec."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from ensembler import api
from ensembler.errors import InputError
from ensembler.store.reader import Store

ROOT = Path(__file__).parents[2]
PASSWORD = "swordfish"  # as tests/fitting/conftest.py gives it to the server


class Server(Protocol):
    """What tests/fitting/conftest.py gives as `postgres`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def url(self, database: str) -> str: ...


@dataclass(frozen=True)
class Worker:
    """A running `ensembler fit`, as join_fit.py starts it."""

    process: subprocess.Popen[str]
    mark: Path
    spec: Path

    def end(self) -> tuple[int, str]:
        """Its exit code and all that it printed."""
        out, err = self.process.communicate(timeout=600)
        return self.process.returncode, out + err


Start = Callable[..., Worker]


def meet(*workers: Worker) -> None:
    """Wait until one of them scores."""
    for _ in range(30_000):
        if any(worker.mark.exists() for worker in workers):
            return
        assert all(w.process.poll() is None for w in workers), workers[0].end()
        time.sleep(0.02)
    pytest.fail("no worker came to score within ten minutes")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text('trials = 24\nvalidation = "none"\n')  # held-out scores record nothing
    return path


@pytest.fixture
def start(small: Store, study: Path, tmp_path: Path) -> Iterator[Start]:
    """`start(url, "--join", hold=…)`: one more worker; none survives the test."""
    workers: list[Worker] = []

    def run(url: str, *options: object, hold: int = 0, zone: str = "UTC") -> Worker:
        number = len(workers)
        mark, spec = tmp_path / f"mark-{number}", tmp_path / f"{number}.json"
        arguments = ["fit", small.path, "--study", study, "--storage", url, "--spec", spec]
        script = Path(__file__).with_name("join_fit.py")
        process = subprocess.Popen(
            [sys.executable, *map(str, (script, mark, hold, *arguments, *options))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONHASHSEED": str(number),
                "PGTZ": zone,  # as libpq takes it
            },
        )
        workers.append(Worker(process, mark, spec))
        return workers[-1]

    yield run
    for worker in workers:
        worker.process.kill()
        worker.process.communicate()


@pytest.fixture
def alone(small: Store, study: Path, tmp_path: Path) -> api.FitResult:
    """The same fit by one process with a journal, its spec in alone.json."""
    return api.fit(small, study=study, spec=tmp_path / "alone.json")


def recorded(url: str) -> list[optuna.trial.FrozenTrial]:
    """All trials of a storage's only study."""
    storage = optuna.storages.RDBStorage(url)
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    storage.engine.dispose()
    return trials


def assert_complete_once(url: str, alone: api.FitResult) -> None:
    """Each index of the fit is complete once, with the journal's parameters and value."""
    complete = [trial for trial in recorded(url) if trial.state == TrialState.COMPLETE]
    found = sorted((t.user_attrs["index"], t.params, t.value) for t in complete)
    assert found == [(t.number, t.params, t.value) for t in alone.study.trials]


def test_workers_outlive_one_that_is_killed_and_one_that_is_taken_for_dead(
    postgres: Server, start: Start, alone: api.FitResult, small: Store, study: Path, tmp_path: Path
) -> None:
    url = postgres.url("outlived")
    api.fit(small, study=study, trials=10, storage=url, join=True)  # which the others join
    killed = start(url, "--join", hold=1)
    meet(killed)
    stopped = start(url, "--join", hold=1)
    meet(stopped)
    survivors = [start(url, "--join"), start(url, "--join", "--jobs", 2)]
    meet(*survivors)
    killed.process.kill()
    stopped.process.send_signal(signal.SIGSTOP)
    ended = [worker.end() for worker in survivors]
    assert [code for code, _ in ended] == [0, 0]
    assert_complete_once(url, alone)
    failed = [t.user_attrs["index"] for t in recorded(url) if t.state == TrialState.FAIL]
    assert {10, 11} <= set(failed)  # what the two held
    stopped.process.send_signal(signal.SIGCONT)
    stopped.mark.unlink()
    ended.append(stopped.end())
    assert ended[-1][0] == 0
    assert_complete_once(url, alone)
    for worker in (*survivors, stopped):
        assert worker.spec.read_bytes() == (tmp_path / "alone.json").read_bytes()
    assert not killed.spec.exists()
    assert PASSWORD not in "".join(printed for _, printed in ended)


def beat(url: str) -> object:
    """The time of the latest heartbeat, as the database has it."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        times = "SELECT max(heartbeat) FROM trial_heartbeats"
        latest = connection.execute(sqlalchemy.text(times)).scalar()
    engine.dispose()
    return latest


def test_a_worker_that_dies_in_another_time_zone_is_not_waited_for_for_hours(
    postgres: Server, start: Start, alone: api.FitResult
) -> None:
    url = postgres.url("zones")
    killed = start(url, "--join", hold=1, zone="Asia/Tokyo")
    meet(killed)
    survivor = start(url, "--join")
    assert survivor.process.stderr is not None
    told = survivor.process.stderr.readline()
    assert told.startswith("Waiting for trials that other processes are scoring: 0")
    before = beat(url)
    while beat(url) == before:  # it beats after the survivor has met its claim
        time.sleep(0.02)
    killed.process.kill()
    assert survivor.end()[0] == 0
    assert_complete_once(url, alone)


@pytest.mark.parametrize("server", ["postgresql", "sqlite"])
def test_workers_that_begin_at_once_share_one_study(
    server: str, start: Start, alone: api.FitResult, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if server == "postgresql":
        url = request.getfixturevalue("postgres").url("begun")
    else:
        url = f"sqlite:///{tmp_path / 'study.db'}"
    workers = [start(url, "--join", "--jobs", jobs) for jobs in (1, 2, 4)]
    assert [worker.end()[0] for worker in workers] == [0, 0, 0]
    assert_complete_once(url, alone)
    for worker in workers:
        assert worker.spec.read_bytes() == (tmp_path / "alone.json").read_bytes()


def test_a_server_that_stops_is_named_with_the_way_to_go_on(
    postgres: Server, start: Start, alone: api.FitResult, tmp_path: Path
) -> None:
    url = postgres.url("lost")
    worker = start(url, hold=3)
    meet(worker)
    postgres.stop()
    try:
        worker.mark.unlink()
        code, printed = worker.end()
    finally:
        postgres.start()
    assert code == 2
    assert f"Error: the storage {url.replace(PASSWORD, '***')!r} was lost: " in printed
    assert "the same command with --resume or --join goes on" in printed
    assert PASSWORD not in printed
    assert "Traceback" not in printed
    assert not worker.spec.exists()
    resumed = start(url, "--resume")
    assert resumed.end()[0] == 0
    assert_complete_once(url, alone)
    assert resumed.spec.read_bytes() == (tmp_path / "alone.json").read_bytes()


@pytest.mark.parametrize(
    ("given", "again", "sent"),
    [(["--join"], "--join", signal.SIGINT), ([], "--resume", signal.SIGTERM)],
)
def test_an_interrupted_worker_gives_up_its_claim_and_tells_the_way_to_go_on(
    given: list[str], again: str, sent: signal.Signals, postgres: Server, start: Start
) -> None:
    url = postgres.url(f"interrupted_{again.strip('-')}")
    worker = start(url, *given, hold=4)
    meet(worker)
    worker.process.send_signal(sent)
    code, printed = worker.end()
    assert code == 130
    assert "Interrupted. Go on with: ensembler fit" in printed
    assert printed.endswith(f" {again}\n")
    assert printed.count("--") == printed.count("--study") + 3  # storage, spec, and one of the two
    assert PASSWORD not in printed
    assert not [t for t in recorded(url) if t.state == TrialState.RUNNING]


def test_a_wrong_password_is_not_repeated(postgres: Server, start: Start) -> None:
    url = postgres.url("wrong").replace(PASSWORD, "wrong-horse")
    code, printed = start(url, "--join").end()
    assert code == 2
    assert "Error: the storage 'postgresql+psycopg://ensembler:***@127.0.0.1:" in printed
    assert "cannot be opened" in printed
    assert "password authentication failed" in printed
    assert "wrong-horse" not in printed


def test_a_study_that_ended_is_joined_too(small: Store, study: Path, tmp_path: Path) -> None:
    """A machine that comes late writes the spec from the others' trials."""
    url = f"sqlite:///{tmp_path / 'study.db'}"
    first = api.fit(small, study=study, storage=url, join=True)
    before = recorded(url)
    late = api.fit(small, study=study, storage=url, join=True, spec=tmp_path / "late.json")
    assert late.spec.digest == first.spec.digest
    assert recorded(url) == before


def test_there_is_nothing_to_join_without_a_storage(small: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to join: name the storage"):
        api.fit(small, join=True, spec=tmp_path / "ensemble.json")
