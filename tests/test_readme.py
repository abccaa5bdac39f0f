"""The README's tour, replayed: its commands run as printed and print what is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What follows needs images that are not committed; tests/end_to_end does the same with them.
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = README.split("## Five minutes")[1].split("\n## ")[0]
SAME = 2e-4  # another processor's rounding may move the last digit printed
CONSOLE = r"^```console\n(.*?)^```"
NUMBER = re.compile(r"[+-]?\d+\.\d+")


@dataclass(frozen=True)
class Step:
    """A command of the tour and the output printed below it."""

    command: str
    output: str


def tour() -> list[Step]:
    blocks = re.findall(CONSOLE, TOUR, re.MULTILINE | re.DOTALL)
    steps = []
    for block in blocks:
        for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            steps.append(Step(command, output.rstrip("\n")))
    return steps


def shape_and_numbers(output: str) -> tuple[str, list[float]]:
    """The text with its decimals and digests taken out, and the decimals."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", output)
    lines = [re.sub(r"\s+", " ", line.rstrip()) for line in text.splitlines()]
    return NUMBER.sub("N", "\n".join(lines)), [float(n) for n in NUMBER.findall(text)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tour")
    shutil.copytree(ROOT / "oof", place / "oof")
    return place


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_the_tour_prints_what_the_readme_prints(folder: Path) -> None:
    steps = tour()
    assert len(steps) >= 10
    for step in steps:
        done = run(step.command, folder)
        assert done.returncode == 0, f"{step.command}\n{done.stderr}"
        text, numbers = shape_and_numbers(done.stdout)
        expected_text, expected_numbers = shape_and_numbers(step.output)
        assert text == expected_text, step.command
        assert numbers == pytest.approx(expected_numbers, abs=SAME), step.command


def test_the_python_examples_run_as_printed(folder: Path) -> None:
    code = re.findall(r"^```python\n(.*?)^```", TOUR, re.MULTILINE | re.DOTALL)
    assert len(code) == 2
    (folder / "example.py").write_text("".join(code))
    done = run(f"{sys.executable} example.py", folder)
    assert done.returncode == 0, done.stderr
    in_sample, held_out = map(float, done.stdout.split())
    assert in_sample > held_out > 0.585
