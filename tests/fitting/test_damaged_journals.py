"""A journal cut off anywhere is gone on with; one damaged otherwise is refused, with its place."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ensembler import api
from ensembler.errors import StudyError
from ensembler.search.definition import StudyDefinition
from ensembler.store.reader import Store

STUDY = StudyDefinition(trials=20, norms=("none", "l2", "power"), validation="none")
CUTS = 12  # drawn, beside those at the first lines' ends
Resume = Callable[[bytes], bytes]


class Fitted(NamedTuple):
    """What a fit wrote."""

    journal: bytes
    spec: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.journal.splitlines(keepends=True)


def fit(store: Store, folder: Path, **settings: Any) -> Fitted:  # noqa: ANN401 - of api.fit
    given: dict[str, Any] = {"study": STUDY, "spec": folder / "ensemble.json"} | settings
    api.fit(store, **given)
    return Fitted(*((folder / f"ensemble.{kind}").read_bytes() for kind in ("journal", "json")))


@pytest.fixture(scope="module")
def fitted(small: Store, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit(small, tmp_path_factory.mktemp("fitted"))


@pytest.fixture(params=["ensemble.journal", "ensemble.journal.running"])
def resume(request: pytest.FixtureRequest, small: Store, tmp_path: Path) -> Resume:
    """Resume from a finished or an interrupted journal of some bytes; the spec's bytes."""
    journal = tmp_path / request.param

    def run(found: bytes) -> bytes:
        for left in tmp_path.iterdir():
            left.unlink()
        journal.write_bytes(found)
        return fit(small, tmp_path, resume=True).spec

    return run


def refused(resume: Resume, found: bytes, message: str, folder: Path) -> None:
    """It is refused, and left as it was with nothing beside it."""
    with pytest.raises(StudyError, match=message):
        resume(found)
    (journal,) = folder.iterdir()
    assert journal.read_bytes() == found


def test_a_journal_cut_off_at_any_byte_is_gone_on_with(resume: Resume, fitted: Fitted) -> None:
    first, second, third = (len(line) for line in fitted.lines[:3])
    ends = (0, first, first + second, first + second + third)
    drawn = random.Random(0).sample(range(len(fitted.journal)), CUTS)
    for cut in sorted({*drawn, *ends, *(end - 1 for end in ends[1:]), *(end + 1 for end in ends)}):
        assert resume(fitted.journal[:cut]) == fitted.spec, f"cut at byte {cut}"


def test_a_journal_that_went_through_windows_is_gone_on_with(
    resume: Resume, fitted: Fitted
) -> None:
    assert resume(fitted.journal.replace(b"\n", b"\r\n")) == fitted.spec


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\xff\xfe\x01\n",
        b"\x00" * 512 + b"\n",
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"id,prompt\n",
        b'{"op_code": 4, "worker_id": "torn{"op_code": 4}\n',
    ],
)
@pytest.mark.parametrize("line", [1, 9, 23])
def test_rubbish_between_lines_is_refused_with_its_place(
    rubbish: bytes, line: int, resume: Resume, fitted: Fitted, tmp_path: Path
) -> None:
    found = b"".join([*fitted.lines[: line - 1], rubbish, *fitted.lines[line - 1 :]])
    message = rf"line {line} of .*ensemble\.journal.* is no entry of a journal; put back"
    refused(resume, found, message, tmp_path)


def test_a_file_that_is_no_journal_is_refused(resume: Resume, oof: Path, tmp_path: Path) -> None:
    for other in (oof / "targets.npy", oof / "manifest.json"):
        refused(resume, other.read_bytes(), "is no entry of a journal", tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        b'{"op_code":99,"worker_id":"w"}\n',  # of a later Optuna, say
        b'{"op_code":4,"worker_id":"w"}\n',
        b'{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":"today","state":1}\n',
        b'{"op_code":"4"}\n',
    ],
)
def test_an_entry_that_optuna_cannot_read_is_refused(
    entry: bytes, resume: Resume, fitted: Fitted, tmp_path: Path
) -> None:
    refused(resume, fitted.journal + entry, "has an entry that is none of a study", tmp_path)


def test_trials_of_another_study_are_refused(
    resume: Resume, small: Store, fitted: Fitted, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = fit(small, tmp_path_factory.mktemp("other"), members=["m0", "m1"])
    with pytest.raises(StudyError, match="trial 8 of the recorded study is not the one"):
        resume(b"".join([*fitted.lines[:11], other.lines[11], *fitted.lines[12:]]))
    with pytest.raises(StudyError, match="records another study"):
        resume(b"".join([*fitted.lines[:11], *other.lines[:3], *fitted.lines[11:]]))


@pytest.mark.parametrize(
    "changed",
    [
        {"value": None},
        {"value": float("nan")},
        {"value": "0.5"},
        {"value": None, "values": [0.5, 0.5]},
        {"state": 0},
        {"state": 2},
        {"state": 3},
        {"user_attrs": {"stage": "baseline", "rule": "uniform", "used": 1, "stats": "given"}},
        {"user_attrs": {"stage": "baseline", "rule": "uniform", "used": 1, "status": "givn"}},
        {"user_attrs": {"stage": "baseline", "rule": "uniform", "used": "1", "status": "given"}},
        {"user_attrs": {"stage": "baseline", "rule": "uniform", "used": 1, "status": "SCREENED"}},
    ],
)
def test_a_trial_that_no_fit_records_is_refused(
    changed: dict[str, Any], resume: Resume, fitted: Fitted, tmp_path: Path
) -> None:
    entry = json.loads(fitted.lines[9]) | changed
    assert entry["op_code"] == 4
    lines = [*fitted.lines[:9], json.dumps(entry).encode() + b"\n", *fitted.lines[10:]]
    refused(resume, b"".join(lines), "trial 6 of the recorded study is damaged", tmp_path)
