"""Generated stores: members that see the target through noise, as fine-tuned models do."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.store.create import create_store
from ensembler.store.model import Dtype
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

ROWS_PER_GROUP = 4  # images of one prompt
CACHE = "ENSEMBLER_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The size of a generated store."""

    rows: int
    members: int
    dim: int

    def __str__(self) -> str:
        return f"N={self.rows:,} M={self.members} d={self.dim}"


TOY = Shape(rows=400, members=4, dim=32)
SMALL = Shape(rows=20_000, members=8, dim=384)
FULL = Shape(rows=100_000, members=18, dim=384)
SHAPES = {"toy": (TOY,), "small": (SMALL,), "full": (SMALL, FULL)}


def make_targets(shape: Shape, seed: int = 0) -> NDArray[np.float32]:
    """Unit targets, (rows, d), that share a direction and are equal within a group."""
    rng = np.random.default_rng(seed)
    groups = -(-shape.rows // ROWS_PER_GROUP)
    centre = rng.standard_normal(shape.dim, dtype=np.float32)
    unit = _unit(rng.standard_normal((groups, shape.dim), dtype=np.float32) + 0.4 * centre)
    return np.repeat(unit, ROWS_PER_GROUP, axis=0)[: shape.rows]


def make_members(
    targets: NDArray[np.float32], members: int, seed: int = 1
) -> Iterator[NDArray[np.float32]]:
    """Generate members one by one: target + common noise + own noise + bias, with two norms.

    The norms of even members carry confidence: they are large where the noise is small. Those of
    odd members are noise themselves.

    Args:
        targets: (rows, d) of unit length.
        members: number of members.
        seed: random seed.

    Yields:
        (rows, d) float32.
    """
    rng = np.random.default_rng(seed)
    rows, dim = targets.shape
    common = _unit(rng.standard_normal((rows, dim), dtype=np.float32))
    for m in range(members):
        noise = rng.standard_normal((rows, dim), dtype=np.float32) / np.float32(np.sqrt(dim))
        bias = _unit(rng.standard_normal((1, dim), dtype=np.float32))
        trust = rng.uniform(0.2, 1.0, (rows, 1)).astype(np.float32)
        loud = np.float32(rng.uniform(0.8, 1.6))
        vectors = trust * targets + (1.2 - trust) * (loud * noise + 0.5 * common) + 0.3 * bias
        spread = rng.lognormal(sigma=0.8, size=(rows, 1)).astype(np.float32)
        yield _unit(vectors) * (trust if m % 2 == 0 else spread)


@contextlib.contextmanager
def generated_store(shape: Shape, dtype: Dtype = "float32") -> Iterator[Store]:
    """Make a store of generated members in a temporary folder, with an empty statistics cache.

    Args:
        shape: the size of the store.
        dtype: type in which the members are stored.
    """
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as place:
        folder = Path(place)
        targets = make_targets(shape)
        np.save(folder / "targets.npy", targets)
        lines = (f"s{row:07},g{row // ROWS_PER_GROUP}" for row in range(shape.rows))
        (folder / "samples.csv").write_text("\n".join(["id,group", *lines]) + "\n")
        create_store(folder / "oof", folder / "samples.csv", targets=folder / "targets.npy")
        ids = np.array([f"s{row:07}" for row in range(shape.rows)])
        for m, vectors in enumerate(make_members(targets, shape.members)):
            file = folder / f"m{m:02}.npz"
            np.savez(file, id=ids, embeddings=vectors)
            add_member(folder / "oof", f"m{m:02}", [file], dtype=dtype)
            file.unlink()
        with fresh_cache():
            yield Store.open(folder / "oof")


@contextlib.contextmanager
def fresh_cache() -> Iterator[None]:
    """Use an empty statistics cache within the block; the user's cache is left alone."""
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[CACHE]
            else:
                os.environ[CACHE] = before


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
