"""Two processes learn what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

HERE = Path(__file__).parent
KEYS: dict[str, Any] = {
    "config": {
        "model": "test_vit3.r160_in1k",  # its pooling, which `mean` does without, gets no gradient
        "image_size": 32,
        "features": "mean",
        "head": {"kind": "linear", "dim": 6},
    },
    "epochs": 2,
    "accumulate": 2,
    "warmup": {"epochs": 1, "lr": 1e-2},
    "loss": {"cosine": 1.0, "info_nce": 0.1},
    "optimiser": {"name": "madgrad", "lr": 1e-2, "sam_rho": 0.05},
    "freeze": 0.3,
}


def test_two_processes_give_what_one_gives(
    train_here: Callable[..., Any],
    losses: Callable[..., list[float]],
    table: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    alone = train_here(out="one", **KEYS).folds[0].result
    options = ["--recipe", tmp_path / "recipe.toml", "--data", table]
    options += ["--images", images, "--fold", 0, "--out", tmp_path / "two"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = [HERE / "train_in_processes.py", "train", "tower", *options]
    done = subprocess.run(
        list(map(str, [*torchrun, "--nproc_per_node", 2, *script, "--processes", 2, "--json"])),
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    together = json.loads(done.stdout)["folds"]["0"]  # one object: one process speaks
    assert together["processes"] == 2
    assert together["scores"] == pytest.approx(alone.scores, abs=1e-5)
    assert losses(tmp_path / "two/fold0") == pytest.approx(losses(tmp_path / "one/fold0"), rel=1e-4)
    one, two = (load_file(tmp_path / out / "fold0/last.safetensors") for out in ("one", "two"))
    for name, weight in one.items():
        assert two[name] == pytest.approx(weight, abs=1e-4), name
