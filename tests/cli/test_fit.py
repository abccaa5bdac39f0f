"""`ensembler fit` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ensembler.store.reader import Store

if TYPE_CHECKING:
    from tests.conftest import FittedOof, InterruptedAt, Run

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ensemble.json` is written to the working folder."""
    monkeypatch.chdir(tmp_path)


def test_fit_prints_the_table_and_writes_the_spec(
    ensembler: Run, oof: Path, fitted_oof: FittedOof
) -> None:
    ran = ensembler("fit", oof)
    digest = fitted_oof.result.spec.digest
    assert ran.code == 0
    assert ran.out == f"{fitted_oof.result}\n\nwrote ensemble.json (digest {digest[:12]})\n"
    assert max(map(len, ran.out.splitlines())) <= 80
    assert ran.err == ""
    assert Path("ensemble.json").read_bytes() == fitted_oof.spec.read_bytes()
    assert sorted(file.name for file in Path().iterdir()) == ["ensemble.journal", "ensemble.json"]


def test_fit_json_is_one_object_with_every_promised_key(ensembler: Run, small: Store) -> None:
    ran = ensembler("fit", small.path, "--trials", 20, "--json", "--spec", "mine.json")
    result = json.loads(ran.out)
    spec = json.loads(Path("mine.json").read_text())
    assert (ran.code, ran.err) == (0, "")
    promised = {
        *("score", "held_out", "baselines", "members", "centred", "rows", "groups", "trials"),
        *("spec", "digest", "seconds", "status", "folds", "dealt_anew", "prior_share"),
    }
    assert promised <= set(result)
    assert set(result["baselines"]) == {"prior", "uniform", "single_best"}
    assert set(result["held_out"]) == {"score", "interval", "versus"}
    for lead in result["held_out"]["versus"].values():
        assert set(lead) == {"difference", "interval"}
    assert list(result["members"]) == list(small.names)
    for member in result["members"].values():
        assert set(member) == {"weight", "share", "norm", "alone", "loss_without", "rows"}
    shares = [result["prior_share"], *(m["share"] for m in result["members"].values())]
    assert sum(map(abs, shares)) == pytest.approx(1.0, abs=1e-12)
    assert (result["status"], result["folds"], result["dealt_anew"]) == ("CONVERGED", 5, None)
    assert result["score"] == spec["scores"]["in_sample"]
    assert result["digest"] == spec["digest"]
    assert (result["spec"], result["rows"], result["trials"]) == ("mine.json", 120, 20)


def test_progress_goes_to_a_terminal_on_stderr_and_leaves_stdout_alone(
    ensembler: Run, small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("fit", small.path, "--trials", 12, "--json")
    without = json.loads(ensembler(*arguments).out)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    ran = ensembler(*arguments)
    result = json.loads(ran.out)
    assert result["digest"] == without["digest"]
    assert "study" in ran.err
    assert "held out" in ran.err


def test_options_go_before_the_studys_own(ensembler: Run, small: Store) -> None:
    Path("mine.toml").write_text('trials = 99\nseed = 3\nvalidation = "none"\n')
    ran = ensembler(
        *("fit", small.path, "--study", "mine.toml", "--json"),
        *("--trials", 12, "--seed", 4, "--members", "m0,m[12]"),
    )
    result = json.loads(ran.out)
    assert set(result["members"]) == {"m0", "m1", "m2"}
    assert result["held_out"] is None
    assert result["trials"] == 12
    study = json.loads(Path("ensemble.json").read_text())["provenance"]["study"]
    assert (study["name"], study["trials"], study["seed"]) == ("mine", 12, 4)


def test_names_of_members_may_stand_between_blanks_and_empty_parts(
    ensembler: Run, small: Store
) -> None:
    Path("quick.toml").write_text('trials = 12\nvalidation = "none"\n')
    ran = ensembler("fit", small.path, "--study", "quick.toml", "--members", " m0, m1,,", "--json")
    assert list(json.loads(ran.out)["members"]) == ["m0", "m1"]


def test_json_gives_the_alpha_of_a_power_norm_alone(ensembler: Run, small: Store) -> None:
    for norm in ("power", "l2"):
        keys = f'trials = 12\nvalidation = "none"\nnorms = ["{norm}"]\nprior = false\n'
        Path(f"{norm}.toml").write_text(keys)
        ran = ensembler("fit", small.path, "--study", f"{norm}.toml", "--json")
        members = json.loads(ran.out)["members"].values()
        assert {"alpha" in member for member in members if member["norm"]} == {norm == "power"}


def test_a_leak_is_warned_of_on_stderr_and_in_the_json(ensembler: Run, write_store: Make) -> None:
    targets = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    ran = ensembler("fit", write_store(targets, {"leaked": targets}).path, "--json")
    result = json.loads(ran.out)
    assert ran.code == 0
    assert ran.err.splitlines() == [f"Warning: {warning}" for warning in result["warnings"]]
    assert "member 'leaked' equals its target in 7 of 7 rows: a leak?" in ran.err
    assert (result["members"]["leaked"]["weight"], result["prior"]) == (1.0, 0.0)


def test_an_interrupted_fit_exits_130_and_resumes_to_the_same_spec(
    ensembler: Run, small: Store, interrupted_at: InterruptedAt
) -> None:
    whole = json.loads(ensembler("fit", small.path, "--trials", 30, "--json").out)
    arguments = ("fit", small.path, "--trials", 30, "--spec", "late.json")
    with interrupted_at(17):
        stopped = ensembler(*arguments)
    assert (stopped.code, stopped.out) == (130, "")
    command = f"ensembler fit {small.path} --trials 30 --spec late.json --resume"
    assert stopped.err == f"\nInterrupted. Go on with: {command}\n"
    assert not Path("late.json").exists()
    with interrupted_at(17):
        assert ensembler(*arguments, "--resume").err == stopped.err
    resumed = json.loads(ensembler(*arguments, "--resume", "--json").out)
    assert resumed["digest"] == whole["digest"]
    assert Path("late.json").read_bytes() == Path("ensemble.json").read_bytes()


def test_a_fit_interrupted_before_its_first_trial_offers_nothing_to_go_on_with(
    ensembler: Run, small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ensembler.fitting.inputs.cached_statistics", interrupted)
    assert ensembler("fit", small.path) == (130, "", "\nInterrupted.\n")


def test_trials_can_be_kept_in_a_storage_instead_of_the_journal(
    ensembler: Run, small: Store
) -> None:
    Path("quick.toml").write_text('trials = 12\nvalidation = "none"\n')
    arguments = ("fit", small.path, "--study", "quick.toml", "--storage", "journal.log")
    ran = ensembler(*arguments)
    assert ran.code == 2
    assert "Error: the storage 'journal.log' cannot be opened" in ran.err
    assert not Path("ensemble.json").exists()
