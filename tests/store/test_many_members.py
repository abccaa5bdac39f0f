"""A store of more members than a process may have files open."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ensembler.store.reader import Store

FILES, MEMBERS, ROWS, DIM = 48, 50, 30, 6
RUN_ALL_WITH_FEW_FILES = f"""
import json, resource, sys
from ensembler.cli.main import cli
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
for arguments in json.loads(sys.argv[1]):
    assert not cli.main(arguments, standalone_mode=False), arguments
"""


def test_more_members_than_open_files_are_shown_audited_fitted_and_compared(
    write_store: Callable[..., Store], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(ROWS, DIM))
    noise = rng.normal(size=(MEMBERS, ROWS, DIM))
    store = write_store(targets, {f"m{m:02}": targets + own for m, own in enumerate(noise)})
    place, few = str(store.path), ["--blender", "weighted:members_at_most=3", "--trials", "1"]
    commands = [
        ["store", "show", place],
        ["store", "audit", place],
        ["fit", place, *few, "--spec", str(tmp_path / "ensemble.json")],
        ["evaluate", place, "--blender", "greedy"],
    ]
    code = [sys.executable, "-c", RUN_ALL_WITH_FEW_FILES, json.dumps(commands)]
    ran = subprocess.run(code, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
