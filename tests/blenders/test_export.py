"""A blend's out-of-fold rows as a member of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ensembler.blenders.data import Data
from ensembler.blenders.refitting.export import export_member, out_of_fold_rows
from ensembler.blenders.weighted import Weighted
from ensembler.blending.statistics import Statistics
from ensembler.errors import StoreError
from ensembler.files import sha256_arrays
from ensembler.metrics import unit_rows
from ensembler.search.space import Space
from ensembler.store.reader import SAMPLES, Store


@pytest.fixture(scope="module")
def data(small: Store, prepare: Callable[..., tuple[Space, Statistics]]) -> Data:
    """Four members of partial coverage on 120 rows."""
    space, statistics = prepare(small, trials=12)
    return Data(store=small, statistics=statistics, space=space)


def test_each_row_is_of_the_fit_that_did_not_know_its_fold(data: Data) -> None:
    found = out_of_fold_rows(data, Weighted(), seed=0)
    targets = unit_rows(data.store.targets())
    for fold in range(data.statistics.folds):
        held, rows = frozenset({fold}), data.fold_rows(fold)
        expected = Weighted().fit(data, held, seed=0).cosines(data, rows, held)
        present = found[rows].any(axis=1)
        cosines = (found[rows].astype(np.float64) * targets[rows]).sum(axis=1)
        assert np.allclose(cosines[present], expected[present], atol=1e-6)


def test_a_new_store_has_the_samples_the_targets_and_the_member(data: Data, tmp_path: Path) -> None:
    record = export_member(tmp_path / "stack", "blend", data, Weighted(), seed=0)
    made = Store.open(tmp_path / "stack")
    assert made.names == ("blend",)
    assert np.array_equal(made.samples.id, data.store.samples.id)
    assert np.array_equal(made.samples.group, data.store.samples.group)
    assert np.array_equal(made.samples.fold, data.statistics.fold)
    assert np.allclose(made.targets(), data.store.targets(), atol=1e-7)
    assert made.manifest.targets is not None
    assert made.manifest.targets.sha256 == sha256_arrays(made.targets())
    assert record.origin.config == {
        "blender": "weighted",
        "seed": 0,
        "store": data.store.digest,
        "members": list(data.names),
    }
    rows = out_of_fold_rows(data, Weighted(), seed=0)
    assert np.array_equal(made.member("blend").block(0, len(rows)), rows)
    assert set(pq.read_schema(made.path / SAMPLES).names) == set(
        pq.read_schema(data.store.path / SAMPLES).names
    )


def test_a_second_blend_joins_the_first(data: Data, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_member(tmp_path / "stack", name, data, Weighted(), seed=0)
    assert Store.open(tmp_path / "stack").names == ("one", "two")


def test_a_store_of_other_samples_is_refused(data: Data, write_store: Callable[..., Store]) -> None:
    other = write_store(np.eye(4, dtype=np.float32), {}, ids=["a", "b", "c", "d"])
    with pytest.raises(StoreError, match="has other samples than"):
        export_member(other.path, "blend", data, Weighted(), seed=0)


def test_a_name_that_is_taken_is_refused_before_anything_is_fitted(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weighted, "fit", lambda *_: pytest.fail("fitted"))
    with pytest.raises(StoreError, match="has a member 'm0' already"):
        export_member(data.store.path, "m0", data, Weighted(), seed=0)
