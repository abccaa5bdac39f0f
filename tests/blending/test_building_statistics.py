"""The statistics themselves: what each array holds, and that jobs do not change a byte."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

from ensembler.blending import build
from ensembler.blending.build import CHUNK_BYTES, Kernel
from ensembler.blending.plain import BLOCK
from ensembler.blending.statistics import GEOMETRY, Precision, Statistics, layout, row_bytes
from ensembler.errors import StoreError

if TYPE_CHECKING:
    from tests.blending.conftest import World

KERNELS = get_args(Kernel)


def all_bytes(statistics: Statistics) -> dict[str, bytes]:
    """Every array of the statistics, by name."""
    arrays = {
        f"{centring}.{name}": getattr(getattr(statistics, centring), name)
        for centring in ("raw", "centred")
        for name in GEOMETRY
    }
    arrays |= {name: getattr(statistics, name) for name in ("means", "fold_sums", "target_cosines")}
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("kernel", KERNELS)
def test_any_number_of_jobs_gives_the_same_bytes(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(1, rows=9000, members=3, dim=4, missing=0.1, weighted=True)
    alone = all_bytes(world.statistics(kernel=kernel, jobs=1))
    for jobs in (2, 4):
        assert all_bytes(world.statistics(kernel=kernel, jobs=jobs)) == alone


@pytest.mark.parametrize("kernel", KERNELS)
def test_means_are_taken_over_the_rows_a_member_covers(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(2, missing=0.4)
    means = world.statistics(kernel=kernel).means
    for m, vectors in enumerate(world.embeddings):
        present = [row for row in vectors.astype(np.float64) if row.any()]
        expected = [math.fsum(column) / len(present) for column in zip(*present, strict=True)]
        np.testing.assert_allclose(means[m], expected, rtol=1e-6)
    assert means.dtype == np.float32


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_absent_row_is_zero_under_both_centrings(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(3, missing=0.4)
    statistics = world.statistics(kernel=kernel)
    absent = ~world.embeddings.any(axis=2).T
    for geometry in (statistics.raw, statistics.centred):
        assert (geometry.lengths[absent] == 0.0).all()
        assert (geometry.cross[absent] == 0.0).all()
        assert (geometry.fold_cosines[absent] == 0.0).all()
        assert (geometry.lengths[~absent] > 0.0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_that_centring_leaves_as_rounding_are_absent(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(4, rows=24)
    world.embeddings[0] = world.embeddings[0, 0]  # a member that says the same of every row
    statistics = world.statistics(kernel=kernel)
    assert (statistics.raw.lengths[:, 0] > 0.0).all()
    assert (statistics.centred.lengths[:, 0] == 0.0).all()
    assert (statistics.centred.cosines[:, :2] == 0.0).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_cosines_are_kept_in_the_precision_asked_for(
    make_world: Callable[..., World], precision: Precision
) -> None:
    raw = make_world(5).statistics(precision=precision).raw
    kept = {name: getattr(raw, name).dtype.name for name in GEOMETRY}
    assert kept["cosines"] == kept["fold_cosines"] == precision
    assert kept["cross"] == kept["lengths"] == "float64"


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_member_needs_no_pairs(make_world: Callable[..., World], kernel: Kernel) -> None:
    statistics = make_world(6, members=1).statistics(kernel=kernel)
    assert statistics.raw.cosines.shape == (24, 0)
    assert statistics.names == ("m0",)
    assert (len(statistics), statistics.folds) == (24, 4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stored", ["float16", "float32"])
@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
def test_a_member_that_is_not_finite_is_named(
    make_world: Callable[..., World], values: list[float], stored: str, kernel: Kernel
) -> None:
    world = make_world(7, stored=stored)
    world.embeddings[1, 5 : 5 + len(values), 2] = values
    with pytest.raises(StoreError, match=r"m1.embeddings\.npy holds NaN or infinity.*audit.*'m1'"):
        world.statistics(kernel=kernel)


def test_progress_counts_every_row_twice(make_world: Callable[..., World]) -> None:
    told: list[int] = []
    make_world(8, rows=5000, dim=4).statistics(progress=told.append)
    assert sum(told) == 10_000


@pytest.mark.parametrize("kernel", KERNELS)
def test_targets_of_any_length_count_alike(
    make_world: Callable[..., World], kernel: Kernel
) -> None:
    world = make_world(9)
    before = all_bytes(world.statistics(kernel=kernel))
    world.targets[:] *= np.float32(2.0) ** np.arange(-12, 12, dtype=np.float32)[:, None]
    assert all_bytes(world.statistics(kernel=kernel)) == before


def test_arrays_are_written_where_they_were_asked_for(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    statistics = replace(make_world(10), folder=lambda: tmp_path).statistics()
    assert {path.name: np.load(path).tobytes() for path in tmp_path.iterdir()} == {
        f"{name}.npy": array for name, array in all_bytes(statistics).items()
    }


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("members", [1, 18, 60, 300])
def test_chunks_take_a_bounded_memory_whatever_the_number_of_members(
    members: int, precision: Precision
) -> None:
    shapes = layout(10_000, members, 5, precision)
    chunks = build._chunks(10_000, shapes)
    assert [row for chunk in chunks for row in chunk] == list(range(10_000))
    assert len(chunks[0]) * row_bytes(shapes) <= max(CHUNK_BYTES, BLOCK * row_bytes(shapes))
    assert {len(chunk) for chunk in chunks[:-1]} == {len(chunks[0])}
    assert len(chunks[0]) % BLOCK == 0


def test_the_bytes_of_a_row_are_those_of_its_arrays(make_world: Callable[..., World]) -> None:
    statistics = make_world(11, rows=24, members=5, folds=3).statistics()
    arrays = all_bytes(statistics)
    total = sum(len(array) for name, array in arrays.items() if name not in ("means", "fold_sums"))
    assert row_bytes(layout(24, 5, 3, "float32")) * 24 == total


def test_many_members_are_built_in_several_chunks_by_any_number_of_jobs(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "CHUNK_BYTES", 1 << 16)
    world = make_world(12, rows=500, members=9, dim=4)
    assert len(build._chunks(500, layout(500, 9, 4, "float32"))) > 1
    assert all_bytes(world.statistics(jobs=2)) == all_bytes(world.statistics(jobs=1))
