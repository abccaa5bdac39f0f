"""`ensembler train` as a command."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest


class Ran(Protocol):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Ran]


@pytest.fixture
def command(
    ensembler: Command, table: Path, images: Path, write_recipe: Callable[..., Path], tmp_path: Path
) -> Command:
    """`command(*more, **keys)`: the command on the small training, with more options."""

    def call(*more: object, **keys: object) -> Ran:
        recipe = write_recipe(tmp_path / "recipe.toml", **{"epochs": 1, **keys})
        options = ["--recipe", recipe, "--data", table, "--images", images]
        return ensembler("train", "tower", *options, "--out", tmp_path / "out", *more)

    return call


def test_it_tells_each_fold_and_names_what_dump_takes(command: Command, tmp_path: Path) -> None:
    done = command("--fold", "all")
    assert done.code == 0, done.err
    *folds, last = done.out.splitlines()
    assert len(folds) == 3
    assert folds[1].startswith("fold 1: 0.")
    assert folds[1].endswith(" over 5 held-out prompts (best epoch: 1 of 1)")
    assert last == f"wrote {tmp_path / 'out/predictor.toml'}"
    definition = tomllib.loads((tmp_path / "out/predictor.toml").read_text())
    assert [one["weights"] for one in definition["checkpoints"]] == [
        f"fold{fold}/best.safetensors" for fold in range(3)
    ]


def test_json_is_one_object_and_says_what_was_finished_before(command: Command) -> None:
    command("--fold", "2")
    folds = json.loads(command("--fold", "2", "--json").out)["folds"]
    assert folds["2"]["finished_before"] is True
    assert folds["2"]["scores"] == [folds["2"]["score"]]


def test_a_recipe_in_half_precision_runs_on_a_cpu_by_the_option_that_is_named(
    command: Command,
) -> None:
    refused = command("--fold", "2", precision="float16", warmup={"epochs": 1, "lr": 1e-3})
    assert refused.code == 2
    assert "set --precision float32" in refused.err
    done = command("--fold", "2", "--precision", "float32", precision="float16")
    assert done.code == 0, done.err


def test_bad_input_is_one_sentence_and_exit_2(command: Command) -> None:
    done = command("--fold", "0", epoch=3)
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'epochs'?" in done.err
    assert command("--fold", "first").code == 2
    assert command("--fold", "7").code == 2


def test_a_training_that_a_scheduler_ends_exits_130_and_the_same_command_goes_on(
    command: Command, sigterm_at: Callable[[int], AbstractContextManager[None]]
) -> None:
    with sigterm_at(2):
        stopped = command("--fold", "2")
    assert (stopped.code, stopped.out) == (130, "")
    assert stopped.err.strip() == "Interrupted. The same command goes on where this one stopped."
    done = command("--fold", "2")
    assert done.code == 0, done.err


def test_of_several_folds_each_is_told_on_stderr_when_it_is_trained(command: Command) -> None:
    command("--fold", "1")
    told = command("--fold", "all", "--json").err.splitlines()
    assert [line.split(":")[0] for line in told] == ["fold 0", "fold 2"]
    assert all(re.fullmatch(r"fold \d: 0\.\d{4} after \d+ s", line) for line in told)


def test_on_a_terminal_a_folds_line_stands_above_the_bars_not_within_them(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    told = re.findall(r"(.*)fold (\d): 0\.\d{4} after", command("--fold", "all").err)
    assert [fold for _, fold in told] == ["0", "1", "2"]
    assert all(before.endswith("\x1b[2K") for before, _ in told)  # on a line that is cleared first


@pytest.mark.parametrize(("rank", "waited"), [(0, []), (1, [30.0])], ids=["first", "other"])
def test_the_first_process_tells_an_error_at_once_and_another_only_if_it_is_not_ended(
    command: Command, monkeypatch: pytest.MonkeyPatch, rank: int, waited: list[float]
) -> None:
    slept: list[float] = []
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr("ensembler.cli.train.time.sleep", slept.append)
    done = command("--fold", "7")
    assert (done.code, slept) == (2, waited)
    assert done.err.startswith("Error: no prompt is in fold 7")
