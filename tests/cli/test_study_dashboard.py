"""`ensembler study dashboard`, by the real optuna-dashboard."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from wsgiref.util import setup_testing_defaults

import pytest

from ensembler import api
from ensembler.search.dashboard import dashboard_app, recorded_storage
from ensembler.search.definition import StudyDefinition
from ensembler.store.reader import Store

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

ROOT = Path(__file__).parents[2]
QUICK = StudyDefinition(validation="none", trials=12)


class Ran(NamedTuple):
    """What tests/conftest.py gives back from `ensembler(…)`."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def recorded(small: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a fit of twelve trials."""
    folder = tmp_path_factory.mktemp("recorded")
    api.fit(small, study=QUICK, spec=folder / "ensemble.json")
    return folder / "ensemble.journal"


@pytest.fixture
def journal(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copy(recorded, tmp_path / "ensemble.journal"))


@pytest.fixture
def served(journal: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command on a free port, and the address it prints."""
    command = "from ensembler.cli.main import main; main()"
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            command,
            "study",
            "dashboard",
            str(journal),
            "--port",
            "0",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["address"]
        process.kill()


def get(app: WSGIApplication, path: str) -> dict[str, Any]:
    """What a WSGI application answers, taken from JSON."""
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "QUERY_STRING": "after=0"}
    status: list[str] = []

    def start_response(line: str, *_: object) -> Callable[[bytes], object]:
        status.append(line)
        return len

    body = b"".join(app(environ, start_response))
    assert status == ["200 OK"]
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


def test_the_command_serves_our_study_and_its_trials_until_ctrl_c(
    served: tuple[subprocess.Popen[str], str],
) -> None:
    process, address = served
    assert address.startswith("http://127.0.0.1:")
    with urlopen(f"{address}api/studies") as answer:
        (study,) = json.load(answer)["study_summaries"]
    assert study["study_name"] == "ensembler"
    with urlopen(f"{address}api/studies/{study['study_id']}?after=0") as answer:
        trials = json.load(answer)["trials"]
    assert [trial["number"] for trial in trials] == list(range(12))
    assert {trial["state"] for trial in trials} == {"Complete"}
    with urlopen(f"{address}dashboard") as answer:
        assert b"<html" in answer.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (0, "", "Ctrl-C ends it.\n")


def test_a_browser_cannot_delete_what_was_recorded(
    served: tuple[subprocess.Popen[str], str], journal: Path
) -> None:
    before = journal.read_bytes()
    with pytest.raises(HTTPError, match="405") as refused:
        urlopen(Request(f"{served[1]}api/studies/0", method="DELETE"))
    assert json.load(refused.value) == {"reason": "recorded studies are shown, not changed"}
    refused.value.close()
    assert journal.read_bytes() == before


def test_a_journal_is_followed_while_it_is_written_and_when_its_fit_has_ended(
    journal: Path,
) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    running = journal.with_name("ensemble.journal.running")
    journal.unlink()
    running.write_bytes(b"".join(lines[:7]) + lines[7][:20])  # caught within a write
    storage = recorded_storage(str(running))
    assert 0 < len(storage.get_all_trials(0)) < 12
    running.write_bytes(b"".join(lines))
    running.rename(journal)
    assert len(storage.get_all_trials(0)) == 12


def test_any_storage_of_optunas_is_shown(small: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with warnings.catch_warnings():  # SQLAlchemy closes its connections when it is collected
        warnings.simplefilter("ignore", ResourceWarning)
        api.fit(small, study=QUICK, spec=tmp_path / "ensemble.json", storage=url)
        app = dashboard_app(url)
        (study,) = get(app, "/api/studies")["study_summaries"]
        assert study["study_name"].startswith("ensembler-")
        assert len(get(app, f"/api/studies/{study['study_id']}")["trials"]) == 12


def test_without_optuna_dashboard_the_line_that_installs_it_is_named(
    ensembler: Run, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    ran = ensembler("study", "dashboard", journal)
    assert (ran.code, ran.out) == (2, "")
    assert "pip install 'oof-ensembler[dashboard]'" in ran.err


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, "No such file or directory"),
        (b"", "holds no study yet"),
        (b"id,prompt\na1,a red car\n", "name a journal (beside the spec: ensemble.journal"),
    ],
)
def test_what_is_no_journal_is_refused_and_not_made_one(
    contents: bytes | None, message: str, ensembler: Run, tmp_path: Path
) -> None:
    place = tmp_path / "some.journal"
    if contents is not None:
        place.write_bytes(contents)
    ran = ensembler("study", "dashboard", place)
    assert (ran.code, ran.out) == (2, "")
    assert str(place) in ran.err
    assert message in ran.err
    assert place.exists() == (contents is not None)


def test_a_port_that_is_taken_is_refused_with_the_way_out(ensembler: Run, journal: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = ensembler("study", "dashboard", journal, "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "give --port another, or 0" in ran.err
