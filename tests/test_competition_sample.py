"""The main job on the competition's own sample: prompts in, its sample submission out."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "shared" / "data" / "competition_sample"
ENSEMBLER = Path(sys.executable).parent / "ensembler"

pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs ../shared")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ENSEMBLER), *arguments], cwd=folder, capture_output=True, text=True, check=True
    )


def rows(path: Path) -> list[tuple[str, float]]:
    with path.open(newline="") as file:
        reader = csv.reader(file)
        assert next(reader) == ["imgId_eId", "val"]
        return [(key, float(value)) for key, value in reader]


def test_seven_prompts_as_their_own_captions_give_the_sample_submission(tmp_path: Path) -> None:
    run(tmp_path, "store", "create", "seven", str(SAMPLE / "prompts.csv"))
    run(tmp_path, "store", "add", "seven", "blip", str(SAMPLE / "prompts.csv"))

    fitted = run(tmp_path, "fit", "seven", "--json")
    result = json.loads(fitted.stdout)
    assert "leak" in fitted.stderr
    assert result["members"]["blip"]["weight"] == 1.0
    assert result["prior"] == 0.0
    assert result["centred"] is False
    assert result["score"] == pytest.approx(1.0, abs=1e-9)

    expected = SAMPLE / "sample_submission.csv"
    run(tmp_path, "predict", "seven", "--sample-submission", str(expected))
    written, published = rows(tmp_path / "submission.csv"), rows(expected)
    assert [key for key, _ in written] == [key for key, _ in published]
    assert [value for _, value in written] == pytest.approx(
        [value for _, value in published], abs=1e-6
    )
