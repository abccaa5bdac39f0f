"""A disk that fills while a fit writes its result: one paragraph, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ensembler.store.reader import Store

FILLER = Path(__file__).parent / "fill_disks.py"
ROOT = Path(__file__).parents[2]
STUDY = 'validation = "none"\n'  # held-out scores record nothing


def test_a_disk_that_fills_while_the_spec_is_written_is_told_and_resume_ends_with_the_same_bytes(
    small: Store, ensembler: Callable[..., Any], tmp_path: Path
) -> None:
    study = tmp_path / "quick.toml"
    study.write_text(STUDY)
    given = ["--study", study, "--trials", 5]
    assert ensembler("fit", small.path, *given, "--spec", tmp_path / "whole.json").code == 0
    done = subprocess.run(
        [sys.executable, str(FILLER), str(small.path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *full, last = [tmp_path / str(change) for change in range(len(list(tmp_path.glob("*/code"))))]
    assert (last / "code").read_text() == "0"
    assert len(full) > 4  # the spec is opened, flushed and renamed; then the journal is
    for folder in full:
        told = (folder / "stderr").read_text()
        assert ((folder / "code").read_text(), told.count("\n")) == ("2", 1), told
        assert "cannot be written (No space left on device); make room" in told
        spec = folder / "ensemble.json"
        assert ensembler("fit", small.path, *given, "--spec", spec, "--resume").code == 0
        assert spec.read_bytes() == (tmp_path / "whole.json").read_bytes()
        assert not list(folder.glob("*.running"))
