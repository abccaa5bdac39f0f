"""A run killed at any write and started again ends, byte for byte, as one that nobody killed.

The adapter kills the command and its worker from within, before the n-th write to the work store:
so every moment between two writes can be met, and each kill is met again in every run of the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MEMBERS = {"a": {"folds": 2, "noise": 0.1}, "b": {"noise": 0.4}}
IMAGES = 11
# In the worker that is killed: 3 vectors and 3 states make a batch; 8 batches of 3 and 2 of 2.
WRITES = [0, 4, 3, 6, *np.random.default_rng(5).integers(7, 40, 2).tolist()]


def command(world: Any, out: Path) -> int:  # noqa: ANN401
    """Run the command line in a process of its own; its exit code."""
    world.spec.save(world.folder / "ensemble.json")
    arguments = {
        "--spec": world.folder / "ensemble.json",
        "--out": out,
        "--checkpoints": world.folder / "checkpoints",
        "--device": "cpu",
        "--batch": 3,
    }
    given = ["predict", world.images, *(part for option in arguments.items() for part in option)]
    done = subprocess.run(
        [sys.executable, "-c", "from ensembler.cli.main import main; main()", *map(str, given)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
    )
    return done.returncode


@pytest.mark.parametrize("share", [0, 1])
def test_kills_in_a_row_change_no_byte(make_world: Callable[..., Any], share: int) -> None:
    world = make_world(MEMBERS, images=IMAGES)
    whole = world.predict(out=world.folder / "whole.csv")
    out = world.folder / "killed.csv"
    for write in WRITES[share::2]:
        world.fault(**{name: {"kill_run_at_write": write} for name in MEMBERS})
        assert command(world, out) == -signal.SIGKILL
    world.fault()
    assert command(world, out) == 0
    assert out.read_bytes() == (world.folder / "whole.csv").read_bytes()
    assert len(whole) == IMAGES
    assert not (world.folder / ".killed.csv.work" / "resized").exists()
