"""The compiled kernel: what NumPy says, from every type and scale, and only where it pays."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.caching import IndexDataCacheFile
from numpy.typing import NDArray

from ensembler.blending import compiling, kernels, reading
from ensembler.blending.build import COMPILED_FROM, Kernel, default_kernel
from ensembler.blending.compiling import compiled
from ensembler.blending.instructions import LANES
from ensembler.blending.reading import ABSENT
from ensembler.blending.statistics import Statistics

if TYPE_CHECKING:
    from tests.blending.conftest import World

CLOSE = 2e-6  # of one number in one row, from float32 products


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from(["unit", "spread", "tiny", "huge", "mixed"]),
    members=st.integers(1, 8),
    dim=st.sampled_from([5, 12, 16, 33]),
    missing=st.sampled_from([0.0, 0.3, 0.7]),
    twins=st.sampled_from([None, 1e-3]),
)
def test_the_compiled_kernel_finds_what_numpy_finds_in_double_precision(
    make_world: Callable[..., World],
    seed: int,
    scale: str,
    members: int,
    dim: int,
    missing: float,
    twins: float | None,
) -> None:
    world = make_world(
        seed, rows=80, members=members, dim=dim, scale=scale, missing=missing, twins=twins
    )
    found, expected = world.statistics(kernel="numba"), world.statistics(precision="float64")
    np.testing.assert_allclose(found.target_cosines, expected.target_cosines, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.fold_sums, expected.fold_sums, rtol=1e-12, atol=1e-12)
    spread = np.abs(world.embeddings).max(axis=(1, 2), initial=1e-45)[:, None]
    np.testing.assert_allclose(found.means / spread, expected.means / spread, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.raw.lengths, expected.raw.lengths, rtol=CLOSE)
    for name in ("cosines", "cross", "fold_cosines"):
        ours, theirs = getattr(found.raw, name), getattr(expected.raw, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE, err_msg=name)
    # What is left of a centred row keeps the rounding of what it was.
    before = expected.raw.lengths + np.linalg.norm(expected.means.astype(np.float64), axis=1)
    left = expected.centred.lengths
    np.testing.assert_array_less(abs(found.centred.lengths - left), CLOSE * before + 1e-300)
    worst = np.divide(before, left, out=np.ones_like(left), where=left > 0.0).max(axis=1)
    for name in ("cosines", "cross", "fold_cosines"):
        off = abs(getattr(found.centred, name) - getattr(expected.centred, name))
        assert (off.reshape(len(off), -1).max(axis=1, initial=0.0) <= CLOSE * worst).all(), name


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@pytest.mark.parametrize("stored", ["float16", "float32"])
@pytest.mark.parametrize("scale", ["unit", "spread"])
def test_each_kernel_centres_as_loops_in_double_precision_do(
    make_world: Callable[..., World],
    kernel: Kernel,
    stored: Literal["float16", "float32"],
    scale: str,
) -> None:
    world = make_world(3, scale=scale, missing=0.3, stored=stored)
    assert_centred(world.statistics(kernel=kernel), world)


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_rows_that_only_centring_makes_too_short_for_float32_squares_are_exact(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(4, missing=0.3)
    shape = world.embeddings.shape
    noise = 1e-4 * np.random.default_rng(4).normal(size=shape)
    world.embeddings[world.embeddings.any(axis=2)] = 1.0
    world.embeddings[:] *= (1e-7 * (1.0 + noise)).astype(np.float32)
    found = world.statistics(kernel=kernel)
    lengths = found.centred.lengths[found.centred.lengths > 0.0]
    assert (lengths**2 < 1e-20).all()
    assert len(lengths) == np.count_nonzero(found.raw.lengths)
    assert_centred(found, world)


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_rows_a_rounding_away_from_their_mean_are_absent_once_centred(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(5, rows=24)
    world.embeddings[0] = 1.0 + 2.0**-22 * (np.arange(24) % 2)[:, None]
    found = world.statistics(kernel=kernel)
    assert (world.embeddings[0] != found.means[0]).all()
    assert (found.centred.lengths[:, 0] == 0.0).all()
    assert (found.centred.cross[:, 0] == 0.0).all()
    assert (found.centred.cosines[:, :2] == 0.0).all()
    assert (found.centred.fold_cosines[:, 0] == 0.0).all()


def assert_centred(found: Statistics, world: World) -> None:
    """The centred statistics are those of loops in double precision."""
    members, dim = found.means.shape
    unit = [row / np.sqrt(row @ row) for row in world.targets.astype(np.float64)]
    for i, target in enumerate(unit):
        x = [
            vectors[i].astype(np.float64) - mean if vectors[i].any() else np.zeros(dim)
            for vectors, mean in zip(world.embeddings, found.means.astype(np.float64), strict=True)
        ]
        length = [np.sqrt(vector @ vector) for vector in x]
        x = [v / size if size else v for v, size in zip(x, length, strict=True)]
        np.testing.assert_allclose(found.centred.lengths[i], length, rtol=CLOSE)
        np.testing.assert_allclose(found.centred.cross[i], [v @ target for v in x], atol=CLOSE)
        pairs = [x[m] @ x[n] for m in range(members) for n in range(m + 1, members)]
        np.testing.assert_allclose(found.centred.cosines[i], pairs, atol=CLOSE)
        for f, total in enumerate(found.fold_sums):
            along = [v @ total / np.sqrt(total @ total) for v in x]
            np.testing.assert_allclose(found.centred.fold_cosines[i, :, f], along, atol=CLOSE)


def test_members_of_both_types_can_be_blended(make_world: Callable[..., World]) -> None:
    world = make_world(5, stored="float16")
    members = world.members()
    wide = members[1].embeddings.astype(np.float32)
    object.__setattr__(members[1], "embeddings", wide)
    object.__setattr__(world, "members", lambda: members)
    mixed = world.statistics(kernel="numba")
    object.__delattr__(world, "members")
    assert mixed.raw.cosines.tobytes() == world.statistics(kernel="numba").raw.cosines.tobytes()


def test_every_half_is_read_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    out = np.empty(len(halves), dtype=np.float32)
    reading.read_halves(halves.ctypes.data, len(halves), out.ctypes.data)
    expected = halves.astype(np.float32)
    assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("stored", [np.float16, np.float32])
@pytest.mark.parametrize("dim", [LANES, 2 * LANES, LANES + 1])
@pytest.mark.parametrize("position", [0, 1, ABSENT])
def test_a_row_is_read_where_it_lies_only_if_whole_vectors_can_be(
    stored: type[np.floating], dim: int, position: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(2, dim)).astype(stored)
    spare = np.full(dim, np.nan, dtype=np.float32)
    start, size = rows.ctypes.data, rows.itemsize
    at = reading.row_at(start, size, position, dim, spare.ctypes.data)
    in_place = stored == np.float32 and dim % LANES == 0 and position != ABSENT
    assert at == (start + position * rows.strides[0] if in_place else spare.ctypes.data)
    expected = np.zeros(dim) if position == ABSENT else rows[position].astype(np.float32)
    np.testing.assert_array_equal(rows[position] if in_place else spare, expected)


@pytest.mark.parametrize(("members", "count"), [(1, 4), (5, 8), (6, 12), (18, 24)])
def test_members_are_multiplied_with_all_columns_from_their_own_on(
    members: int, count: int
) -> None:
    vectors = np.random.default_rng(members).normal(size=(count, 3 * LANES)).astype(np.float32)
    columns = vectors.ctypes.data + vectors.strides[0] * np.arange(count)
    gram = np.full((count, count), np.nan, dtype=np.float32)
    kernels.multiply(columns, 3 * LANES, members, columns, np.full(members, 64), gram)
    for i in range(members):
        for j in range(i, count):
            product = sum(float(a) * float(b) for a, b in zip(vectors[i], vectors[j], strict=True))
            assert gram[i, j] == pytest.approx(product, rel=0, abs=2e-5)


def test_the_compiled_kernel_is_taken_where_it_pays() -> None:
    assert default_kernel(COMPILED_FROM, "float32") == "numba"
    assert default_kernel(COMPILED_FROM - 1, "float32") == "numpy"
    assert default_kernel(COMPILED_FROM, "float64") == "numpy"


def test_numpy_serves_where_numba_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert default_kernel(COMPILED_FROM, "float32") == "numpy"


def twice(array: NDArray[np.float32]) -> float:
    return float(2.0 * array[1])


def test_kernels_are_compiled_where_there_is_no_place_for_machine_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> NoReturn:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiling, "MachineCode", refuse)
    assert compiled(twice)(np.array([0.0, 2.0], dtype=np.float32)) == 4.0


def test_machine_code_is_kept_for_the_next_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled(twice)(np.array([0.0, 2.0], dtype=np.float32)) == 4.0
    assert {file.suffix for file in tmp_path.rglob("*.nb?")} == {".nbi", ".nbc"}


def test_machine_code_is_made_anew_once_another_file_of_kernels_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    taken = []
    for changed in (1, 1, 2):
        monkeypatch.setattr(compiling, "CHANGED", changed)
        kernel: Any = compiled(twice)
        kernel(np.array([0.0, 2.0], dtype=np.float32))
        taken.append(len(kernel.stats.cache_hits))
    assert taken == [0, 1, 0]


@pytest.mark.parametrize("full", ["_save_index", "_save_data"])
def test_a_disk_too_full_for_machine_code_costs_only_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full: str
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(IndexDataCacheFile, full, refuse)
    assert compiled(twice)(np.array([0.0, 2.0], dtype=np.float32)) == 4.0
    assert not list(tmp_path.rglob("*.nb?"))  # an index could name the code of before
