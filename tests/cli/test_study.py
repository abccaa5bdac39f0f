"""`ensembler study list` and `study show`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ensembler.search.definition import StudyDefinition, load_study, parse_study, study_paths


class Ran(NamedTuple):
    """What tests/conftest.py gives back from `ensembler(…)`."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def test_list_names_every_study_with_its_description(ensembler: Run) -> None:
    ran = ensembler("study", "list")
    assert (ran.code, ran.err) == (0, "")
    lines = {line.split()[0]: line for line in ran.out.splitlines()}
    assert set(lines) == set(study_paths())
    described = json.loads(ensembler("study", "list", "--json").out)
    assert all(lines[name].endswith(text) for name, text in described.items())


def test_show_spells_every_key_out(ensembler: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('description = "×2"\ntrials = 7\n')
    ran = ensembler("study", "show", tmp_path / "mine.toml")
    shown = dict(line.split(" = ", 1) for line in ran.out.splitlines())
    assert {key.strip() for key in shown} == set(StudyDefinition.model_fields)
    assert 'description  = "×2"' in ran.out
    assert "trials       = 7" in ran.out


def test_what_show_json_prints_is_a_study_again(ensembler: Run) -> None:
    for name, path in study_paths().items():
        shown = json.loads(ensembler("study", "show", name, "--json").out)
        assert set(shown) == set(StudyDefinition.model_fields)
        written = parse_study(tomllib.loads(path.read_text(encoding="utf-8")), name)
        assert parse_study(shown, name) == written


def test_what_show_prints_is_a_study_file_again(ensembler: Run, tmp_path: Path) -> None:
    odd = 'description = "\\u007f \\" \\\\ é"\nmembers = {"a b" = ["x", "y*"]}\n'
    (tmp_path / "odd.toml").write_text(odd + 'weights = "fixed"\nfixed = {"a b" = 1e-7}\n')
    for name in (*study_paths(), str(tmp_path / "odd.toml")):
        shown = ensembler("study", "show", name).out
        assert parse_study(tomllib.loads(shown), "shown") == load_study(name)


def test_show_offers_the_nearest_study(ensembler: Run) -> None:
    ran = ensembler("study", "show", "plan")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: no study named 'plan'; did you mean 'plain'?")
