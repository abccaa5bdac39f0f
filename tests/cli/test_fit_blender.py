"""`ensembler fit --blender`: other blends than plain weights, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ensembler.spec.loading import load_spec

if TYPE_CHECKING:
    from ensembler.store.reader import Store
    from tests.conftest import Run

QUICK = ("--trials", 12)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_chain_is_fitted_frozen_verified_and_replayed(ensembler: Run, small: Store) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "gated+ridge+gains", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["blender"] == "gated+ridge+gains"
    assert found["held_out"]["score"] < found["score"]
    assert load_spec("ensemble.json").provenance.study["blender"] == "gated+ridge+gains"
    assert ensembler("spec", "verify", "ensemble.json", "--store", small.path).code == 0
    assert ensembler("predict", small.path, "--out", "submission.csv").code == 0


def test_the_chosen_blender_is_the_one_that_its_table_marks(ensembler: Run, small: Store) -> None:
    ran = ensembler("fit", small.path, *QUICK, "--blender", "auto")
    assert ran.code == 0, ran.err
    marked = [line.split()[0] for line in ran.out.splitlines() if "* " in line[:30]]
    made_by = load_spec("ensemble.json").provenance.study.get("blender", "weighted")
    assert marked[:1] == [made_by]


def test_plain_weights_by_name_are_the_plain_fit(ensembler: Run, small: Store) -> None:
    assert ensembler("fit", small.path, *QUICK, "--spec", "plain.json").code == 0
    named = ("--blender", "weighted", "--spec", "named.json")
    assert ensembler("fit", small.path, *QUICK, *named).code == 0
    assert Path("plain.json").read_bytes() == Path("named.json").read_bytes()


def test_a_fit_for_another_mix_says_so_and_verifies(ensembler: Run, oof: Path) -> None:
    mix = ("--target-mix", "sd=3", "--target-mix", "sdxl=1")
    ran = ensembler("fit", oof, *QUICK, *mix, "--json")
    assert ran.code == 0, ran.err
    assert load_spec("ensemble.json").provenance.study["target_mix"] == {"sd": 3.0, "sdxl": 1.0}
    assert ensembler("spec", "verify", "ensemble.json", "--store", oof).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--blender", "gatd"), "'gated'"),
        (("--blender", "ridge+uniform"), "stands on no other"),
        (("--target-mix", "sdlx=1"), "'sdxl'"),
        (("--target-mix", "sd"), "source=weight"),
        (("--budget", "soon"), "soon"),
        (("--budget", "1s", "--blender", "ridge"), "plain weights"),
        (("--budget", "1s"), "seconds per image"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_remedy(
    ensembler: Run, oof: Path, options: tuple[str, ...], said: str
) -> None:
    ran = ensembler("fit", oof, *options)
    assert ran.code == 2
    assert said in ran.err
    assert not Path("ensemble.json").exists()


def test_a_choice_needs_held_out_scores(ensembler: Run, small: Store) -> None:
    Path("quick.toml").write_text('validation = "none"\n')
    ran = ensembler("fit", small.path, "--study", "quick.toml", "--blender", "auto")
    assert ran.code == 2
    assert "held-out scores" in ran.err
    named = ensembler("fit", small.path, "--study", "quick.toml", "--blender", "gains", "--json")
    assert named.code == 0, named.err
    assert json.loads(named.out)["held_out"] is None
