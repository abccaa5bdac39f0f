"""Two processes learn what one does."""

from __future__ import annotations

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
    train_in_two: Callable[..., dict[str, Any]],
    table: Path,
    tmp_path: Path,
) -> None:
    alone = train_here(out="one", **KEYS).folds[0].result
    together = train_in_two("tower", table)  # one object: one process speaks
    assert together["processes"] == 2
    assert together["scores"] == pytest.approx(alone.scores, abs=1e-5)
    assert losses(tmp_path / "two/fold0") == pytest.approx(losses(tmp_path / "one/fold0"), rel=1e-4)
    one, two = (load_file(tmp_path / out / "fold0/last.safetensors") for out in ("one", "two"))
    for name, weight in one.items():
        assert two[name] == pytest.approx(weight, abs=1e-4), name
