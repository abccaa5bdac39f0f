"""`ensembler predictors list`: the registered predictors, and the pip lines for the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from ensembler import plugins

Run = Callable[..., Any]


def test_each_predictor_is_listed_with_package_and_first_line(ensembler: Run) -> None:
    listed = json.loads(ensembler("predictors", "list", "--json").out)
    assert list(listed) == sorted(listed)
    assert listed["colours"] == {
        "package": "colours",
        "about": "Mean colours times a matrix.",
        "installed": True,
        "missing": [],
        "install": None,
        "broken": None,
    }


def test_one_whose_library_is_missing_has_the_pip_line(ensembler: Run) -> None:
    listed = json.loads(ensembler("predictors", "list", "--json").out)["uninstalled"]
    assert listed["installed"] is False
    assert listed["missing"] == ["a_library_that_nobody_has"]
    assert listed["install"] == "pip install 'colours[models]'"


def test_a_broken_package_is_listed_and_hides_no_other(ensembler: Run) -> None:
    listed = json.loads(ensembler("predictors", "list", "--json").out)
    assert "cannot be imported" in listed["lost"]["broken"]
    assert "is not an adapter" in listed["no_adapter"]["broken"]
    assert listed["neighbours"]["installed"] is True


def test_the_table_is_narrow_and_keeps_pip_lines_whole(ensembler: Run) -> None:
    ran = ensembler("predictors", "list")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "uninstalled:" in lines
    assert "  pip install 'colours[models]'" in lines
    assert any(line.startswith("colours ") and "Mean colours" in line for line in lines)


def test_an_environment_without_predictors_says_how_one_is_registered(
    ensembler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [])
    assert "no predictors are registered" in ensembler("predictors", "list").out
    assert json.loads(ensembler("predictors", "list", "--json").out) == {}


def test_a_name_is_never_broken_however_long_the_package(
    ensembler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "a_predictor_whose_name_somebody_made_long"
    entry = EntryPoint(long, "colours:Colours", plugins.PREDICTORS)
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [entry])
    monkeypatch.setattr("ensembler.predicting.listing.package_of", lambda _: "package-" * 8)
    lines = ensembler("predictors", "list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f"{long} ") for line in lines)
