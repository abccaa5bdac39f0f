from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ensembler.cli.main import cli

ROOT = Path(__file__).parents[2]


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["store", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with samples, targets, and vectors of one member with an unknown id."""
    rng = np.random.default_rng(0)
    (tmp_path / "s.csv").write_text("id,group\n" + "".join(f"i{n},g{n % 3}\n" for n in range(6)))
    np.save(tmp_path / "t.npy", rng.normal(size=(6, 4)))
    vectors = rng.normal(size=(5, 4))
    vectors[1] = 0.0
    np.save(tmp_path / "v.npy", vectors)
    (tmp_path / "ids.txt").write_text("i5\ni1\ni0\nstranger\ni2\n")
    return tmp_path


def test_a_store_is_created_filled_shown_and_emptied(files: Path) -> None:
    store = files / "store"
    created = invoke("create", store, files / "s.csv", "--targets", files / "t.npy", "--folds", "3")
    assert created.stdout == f"{store}: 6 samples in 3 groups and 3 folds, targets of 4 numbers\n"
    added = invoke(
        "add", store, "m", files / "v.npy", "--ids", files / "ids.txt", "--drop-unknown",
        "--dtype", "float16",
    )  # fmt: skip
    assert added.stdout == (
        "m: 4 rows, 50.0% of the samples, 1 of length zero, 1 of unknown ids left out; float16\n"
    )
    shown = invoke("show", store)
    assert "6 samples in 3 groups" in shown.stdout
    assert "folds: 0 (2), 1 (2), 2 (2)" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    removed = invoke("remove", store, "m")
    assert removed.stdout == f"m: removed from {store}\n"
    assert "no members yet" in invoke("show", store).stdout
    assert [result.exit_code for result in (created, added, shown, removed)] == [0, 0, 0, 0]


def test_a_store_of_one_sample_is_told_in_the_singular(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id\na\n")
    created = invoke("create", tmp_path / "store", tmp_path / "s.csv")
    assert created.stdout == (
        f"{tmp_path / 'store'}: 1 sample in 1 group and 0 folds, no targets\n"
    )


def test_json_is_one_object_on_stdout_and_nothing_else(files: Path) -> None:
    store = files / "store"
    created = invoke("create", store, files / "s.csv", "--targets", files / "t.npy", "--json")
    added = invoke(
        "add", store, "m", files / "v.npy", "--ids", files / "ids.txt", "--drop-unknown", "--json"
    )
    shown = invoke("show", store, "--json")
    removed = invoke("remove", store, "m", "--json")
    assert json.loads(created.stdout)["samples"] == 6
    report = json.loads(added.stdout)
    assert (report["rows"], report["zero_rows"], report["unknown_dropped"]) == (4, 1, 1)
    assert report["coverage"] == 0.5
    (member,) = json.loads(shown.stdout)["members"]
    assert (member["name"], member["rows"], member["dtype"]) == ("m", 4, "float32")
    assert -1 <= member["alone"] <= 1
    assert json.loads(removed.stdout) == {"store": str(store), "removed": "m"}
    assert [result.stderr for result in (created, added, shown, removed)] == ["", "", "", ""]


def test_long_names_and_markup_leave_the_table_within_80_columns(files: Path) -> None:
    store = files / "store"
    invoke("create", store, files / "s.csv", "--targets", files / "t.npy")
    name = "a-very-long-name." * 5
    invoke("add", store, name, files / "v.npy", "--ids", files / "ids.txt", "--drop-unknown")
    lines = invoke("show", store).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert name[:20] in "".join(lines)


def test_bad_input_is_one_paragraph_on_stderr_and_exit_2(files: Path) -> None:
    invoke("create", files / "store", files / "s.csv")
    program = "from ensembler.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "store", "add", "store", "m", "v.npy", "--ids", "ids.txt"],
        cwd=files,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "Error: v.npy: row 4, id 'stranger': no sample has this id; 1 of 5 ids are unknown:"
        " correct them, or leave them out with --drop-unknown\n"
    )


@pytest.mark.parametrize("command", ["create", "add", "remove", "show"])
def test_help_loads_nothing_heavy(command: str) -> None:
    program = (
        "import sys; from ensembler.cli.main import cli\n"
        f"cli(['store', {command!r}, '--help'], standalone_mode=False)\n"
        "heavy = {'pyarrow', 'torch', 'sklearn', 'optuna', 'sentence_transformers', 'rich'}\n"
        "sys.exit(sorted(heavy & sys.modules.keys()) or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
