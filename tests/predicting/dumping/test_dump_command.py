"""`ensembler dump`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

MakeStudio = Callable[..., Any]
Run = Callable[..., Any]
SigtermAt = Callable[[int], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the list of failures goes to the working folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


def test_json_tells_what_was_stored(make_studio: MakeStudio, ensembler: Run) -> None:
    studio = make_studio([0, 1, 2, 0, -1])
    definition, _ = studio.folded()
    options = ["--predictor", definition, "--images", studio.images]
    ran = ensembler("dump", studio.store, "reds", *options, "--dtype", "float16", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    member = studio.member("reds").record
    assert told.pop("seconds_per_image") == member.origin.seconds_per_image
    assert told == {
        "store": str(studio.store),
        "member": "reds",
        "rows": 4,
        "coverage": 0.8,
        "zero_rows": 0,
        "dim": 5,
        "dtype": "float16",
        "captions": False,
        "sha256": member.sha256,
        "checkpoints": 3,
        "mean_norm": member.origin.mean_norm,
        "missing_images": 0,
        "failed_images": {},
        "failures": None,
        "uncovered": {"-1": 1},
        "resumed": 0,
        "learned_in": None,
        "cache_fault": None,
    }
    assert list(Path.cwd().iterdir()) == []


def test_images_that_fail_are_counted_listed_and_exit_with_4(
    make_studio: MakeStudio, ensembler: Run
) -> None:
    studio = make_studio([0, 1, 2, 0, 7])
    definition, _ = studio.folded()
    studio.image(1).write_bytes(b"no image")
    studio.image(3).unlink()
    options = ["--predictor", definition, "--images", studio.images, "--partial"]
    ran = ensembler("dump", studio.store, "reds", *options)
    assert ran.code == 4
    assert ran.out.startswith("reds: 2 rows, 40.0% of the samples; float32, ")
    assert "1 samples have no image" in ran.out
    assert "1 samples of fold 7, which no checkpoint left out, have no row" in ran.out
    assert ran.err == "Warning: 1 images gave no vector; reds.failures.csv says why.\n"
    assert studio.ids[1] in Path("reds.failures.csv").read_text()


def test_bad_input_exits_with_2(make_studio: MakeStudio, ensembler: Run) -> None:
    studio = make_studio([0, 1])
    ran = ensembler(
        "dump",
        studio.store,
        "reds",
        "--predictor",
        studio.folder / "no.toml",
        "--images",
        "nowhere",
    )
    assert (ran.code, ran.out) == (2, "")
    assert "there is no predictor definition" in ran.err


@pytest.mark.parametrize("faulty", ["name", "predictor", "images"])
def test_bad_input_is_refused_before_torch_is_loaded(faulty: str, make_studio: MakeStudio) -> None:
    studio = make_studio([0, 1, 2])
    misspelt = studio.folder / "misspelt.toml"
    misspelt.write_text('adapter = "retreival"\n')
    sound = studio.define("retrieval", 'features = "f.toml"\nreference = "r.safetensors"')
    right = {"name": "reds", "predictor": sound, "images": studio.images}
    wrong = {"name": "two words", "predictor": misspelt, "images": studio.folder / "nowhere"}
    name, predictor, images = map(str, (right | {faulty: wrong[faulty]}).values())
    arguments = ["dump", str(studio.store), name, "--predictor", predictor, "--images", images]
    code = (
        "import sys; from ensembler.cli.main import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "False\n")
    assert str(wrong[faulty]) in ran.stderr


def test_a_command_that_a_scheduler_ends_exits_with_130_and_goes_on(
    make_studio: MakeStudio, ensembler: Run, sigterm_at: SigtermAt
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    options = ["--predictor", definition, "--images", studio.images, "--batch", "4"]
    with sigterm_at(2):
        ran = ensembler("dump", studio.store, "reds", *options)
    assert (ran.code, ran.out) == (130, "")
    assert ran.err.strip() == "Interrupted. The same command goes on where this one stopped."
    ran = ensembler("dump", studio.store, "reds", *options)
    assert ran.code == 0
    assert " images had been embedded before an interruption" in ran.out
