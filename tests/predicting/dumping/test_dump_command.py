"""`ensembler dump`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeStudio = Callable[..., Any]
Run = Callable[..., Any]


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
    assert "there is no predictor's definition" in ran.err


def test_an_interrupted_command_exits_with_130_and_goes_on(
    make_studio: MakeStudio, ensembler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = make_studio()
    definition, _ = studio.folded()
    options = ["--predictor", definition, "--images", studio.images, "--batch", "4"]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ensembler.dumping.dump.assemble", stop)
        ran = ensembler("dump", studio.store, "reds", *options)
    assert (ran.code, ran.err.strip()) == (130, "Interrupted.")
    ran = ensembler("dump", studio.store, "reds", *options)
    assert ran.code == 0
    assert "26 images had been embedded before an interruption" in ran.out
