"""Nine samples whose ids are easily mistaken, a store of them, and vectors for every one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.store.create import create_store
from ensembler.store.reader import Store

IDS = ["92e911621", "1e5", "007", "a_b_c", "zebra", "b", "ü-ber", "with space", "x,y"]
DIM = 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with unit-length targets and no members, at tmp_path / "store"."""
    np.save(tmp_path / "targets.npy", np.random.default_rng(1).normal(size=(len(IDS), DIM)))
    lines = ["id,source"] + [f'"{id_}",s{row % 2}' for row, id_ in enumerate(IDS)]
    (tmp_path / "samples.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return create_store(
        tmp_path / "store", tmp_path / "samples.csv", targets=tmp_path / "targets.npy", folds=3
    )


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    """One row for each sample of `store`."""
    return np.random.default_rng(0).normal(size=(len(IDS), DIM)).astype(np.float32)
