from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembler.errors import StoreError
from ensembler.store.importing.long_layout import HEADER, read_long, split_keys

SAMPLE = Path(__file__).parents[3] / "shared/data/competition_sample/sample_submission.csv"


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([",".join(HEADER), *lines]) + "\n", encoding="utf-8")
    return path


@given(
    pairs=st.lists(
        st.tuples(st.text(min_size=1).filter(str.isprintable), st.integers(0, 10**6)), min_size=1
    )
)
def test_keys_split_at_the_last_underscore(pairs: list[tuple[str, int]]) -> None:
    ids, components = split_keys(pa.array([f"{id_}_{k}" for id_, k in pairs]))
    assert list(zip(ids.to_pylist(), components.to_pylist(), strict=True)) == pairs


@pytest.mark.parametrize("key", ["a", "_1", "a_", "a_x", "a_-1", "a_1.0", "a_0x1", "", None])
def test_a_malformed_key_is_named(key: str | None) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the key {key!r} is not an id, an underscore")):
        split_keys(pa.array(["ok_1", key, "ok_2"]))


def test_a_component_beyond_int32_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        split_keys(pa.array(["a_99999999999"]))


def test_no_keys_split_into_nothing() -> None:
    ids, components = split_keys(pa.array([], pa.string()))
    assert (len(ids), len(components)) == (0, 0)


def test_cells_are_placed_by_key_whatever_the_order_of_lines(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids, vectors = ["92e911621", "a_b", "1e5"], rng.normal(size=(3, 12)).astype(np.float32)
    cells = [(f"{ids[i]}_{k}", vectors[i, k]) for i in range(3) for k in range(12)]
    order = rng.permutation(len(cells))
    long = read_long(write(tmp_path / "v.csv", [f"{cells[c][0]},{cells[c][1]}" for c in order]))
    first_seen = list(dict.fromkeys(cells[c][0].rpartition("_")[0] for c in order))
    assert long.ids.tolist() == first_seen
    np.testing.assert_array_equal(long.vectors, vectors[[ids.index(id_) for id_ in first_seen]])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a_0,1", "a_1,1", "b_0,1"], "the key 'b_1' is missing: other ids go up to component 1"),
        (["a_0,1", "a_1,1", "b_1,1", "b_1,2"], "the key 'b_1' comes twice; keep one"),
        (["a_0,1", "a_0,1", "a_1,1"], "the key 'a_0' comes twice"),
        (["a_0,1", "b_2000000000,1"], "the key 'a_1' is missing"),
        (["a_0,1", "b,1"], "the key 'b' is not an id, an underscore and a number"),
        (["a_0,one"], "invalid value 'one'"),
        ([], "has a header but no lines"),
    ],
)
def test_uneven_or_malformed_lines_are_refused_naming_the_key(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    file = write(tmp_path / "v.csv", lines)
    with pytest.raises(StoreError, match=message) as caught:
        read_long(file)
    assert str(file) in str(caught.value)


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs ../shared")
def test_the_published_sample_submission_is_read_as_unit_rows() -> None:
    long = read_long(SAMPLE)
    assert long.ids.tolist()[:3] == ["20057f34d", "227ef0887", "92e911621"]
    assert long.vectors.shape == (7, 384)
    np.testing.assert_allclose((long.vectors.astype(np.float64) ** 2).sum(axis=1), 1, atol=1e-6)
