"""A definition in a read-only folder whose predictor learns from the store: a Kaggle kernel's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ensembler.dumping.learning import learned_folder
from ensembler.errors import PredictorError
from ensembler.predicting.checkpoints import locate_checkpoints, verify_checkpoints

MakeStudio = Callable[..., Any]
Run = Callable[..., Any]


@pytest.fixture
def studio(make_studio: MakeStudio, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - of conftest.py
    """Nobody may write its folder of definitions."""
    made = make_studio([0, 1, 2, 0, 1, 2])
    access = os.access
    # Root may write where no one else may.
    monkeypatch.setattr(
        os, "access", lambda at, mode: Path(at) != made.folder / "models" and access(at, mode)
    )
    return made


@pytest.fixture
def definition(studio: Any) -> Path:  # noqa: ANN401
    place: Path = studio.define("neighbours", 'references = "sets/made.npz"')
    return place


def test_what_is_learned_goes_beside_the_store_and_the_member_is_the_same(
    studio: Any,  # noqa: ANN401
    definition: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sorted(definition.parent.rglob("*"))
    report = studio.dump("reds", definition)
    assert report.learned_in == learned_folder(studio.store) == studio.folder / "oof.checkpoints"
    assert sorted(definition.parent.rglob("*")) == before
    monkeypatch.undo()
    (definition.parent / "sets").mkdir()
    usual = studio.dump("usual", definition)
    assert usual.learned_in is None
    assert usual.member.sha256 == report.member.sha256


def test_what_was_learned_there_serves_the_next_dump_and_predict(
    studio: Any,  # noqa: ANN401
    definition: Path,
) -> None:
    report = studio.dump("reds", definition)
    made = report.learned_in / "sets/made.npz"
    written = made.stat().st_mtime_ns
    again = studio.dump("again", definition)
    assert (again.learned_in, made.stat().st_mtime_ns) == (report.learned_in, written)
    folders = (definition.parent, report.learned_in)
    located = locate_checkpoints(again.member.origin, folders, member="again")
    assert [one.files for one in located] == [{"references": made}]
    verify_checkpoints(located, member="again")


def test_a_file_that_is_in_the_read_only_folder_is_used_there(
    studio: Any,  # noqa: ANN401
    definition: Path,
) -> None:
    report = studio.dump("reds", definition)
    (definition.parent / "sets").mkdir()
    (report.learned_in / "sets/made.npz").rename(definition.parent / "sets/made.npz")
    assert studio.dump("again", definition).learned_in is None


def test_no_folder_to_write_is_told_with_what_to_copy(studio: Any, definition: Path) -> None:  # noqa: ANN401
    learned_folder(studio.store).write_text("a file")
    with pytest.raises(PredictorError, match=r"neither .*models nor .*oof\.checkpoints can be"):
        studio.dump("reds", definition)


def test_the_command_line_says_which_folders_predict_wants(
    ensembler: Run,
    studio: Any,  # noqa: ANN401
    definition: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(studio.folder)
    ran = ensembler("dump", "oof", "reds", "--predictor", definition, "--images", studio.images)
    assert ran.code == 0
    said = f"what it learned from the store is in {learned_folder(studio.store)}"
    assert said in ran.out
    assert "give `ensembler predict` both as --checkpoints" in ran.out
