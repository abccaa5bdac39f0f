"""The compiled kernel: what NumPy says, from every type and scale, and only where it pays."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.caching import IndexDataCacheFile
from numpy.typing import NDArray

from ensembler.blending import compiling, kernels
from ensembler.blending.build import COMPILED_FROM, Kernel, default_kernel
from ensembler.blending.compiling import compiled
from ensembler.blending.statistics import Statistics

if TYPE_CHECKING:
    from tests.blending.conftest import World

CLOSE = 2e-6  # of one number in one row, from float32 products


@settings(max_examples=60, deadline=None, derandomize=True)
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
    kernels.read_row(halves.ctypes.data, True, 0, out, out.view(np.uint32))
    expected = halves.astype(np.float32)
    assert out.tobytes() == expected.tobytes()


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
