"""Pairs built member by member are those of full statistics, and are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ensembler.blending.cache import cached_statistics
from ensembler.blending.pairs import KnownPairs, ScarcePairs
from ensembler.blending.statistics import GEOMETRY, Precision, Statistics
from ensembler.caching import cache_folder
from ensembler.store.reader import Member, Store

Make = Callable[..., Any]
ROWS = 300  # more than a chunk holds


class Built(NamedTuple):
    """A store's statistics with all pairs and without any."""

    store: Store
    full: Statistics
    alone: Statistics

    def scarce(self, *members: int, centred: bool = True, jobs: int = 1) -> ScarcePairs:
        pairs = ScarcePairs(self.store, self.alone, centred=centred, jobs=jobs)
        pairs.prepare(members)
        return pairs


def entries() -> list[Path]:
    """What the cache keeps of pairs: files, where statistics are folders."""
    return [path for path in cache_folder().iterdir() if path.suffix == ".npy"]


@pytest.fixture(scope="module")
def stores(generate: Make, write_store: Make) -> dict[str, Store]:
    """Four members on 300 rows: of partial coverage, and of lengths a million times apart."""
    return {
        kind: write_store(data.targets, data.members, groups=data.groups)
        for kind in ("partial", "mixed")
        if (data := generate(kind, rows=ROWS, members=4))
    }


@pytest.fixture
def build(
    stores: dict[str, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Built]:
    """`build(kind, precision)`: in a cache of the test's own."""
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "cache"))

    def make(kind: str = "partial", precision: Precision = "float32") -> Built:
        store, fold = stores[kind], np.arange(ROWS) % 3
        full, alone = (
            cached_statistics(store, store.names, fold, precision=precision, pairs=pairs)
            for pairs in (True, False)
        )
        return Built(store, full, alone)

    return make


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["partial", "mixed"])
def test_without_pairs_each_member_is_described_as_with_them(
    build: Callable[..., Built], kind: str, precision: Precision
) -> None:
    built = build(kind, precision)
    tolerance = 1e-6 if precision == "float32" else 1e-12
    for centred in (False, True):
        found, expected = built.alone.geometry(centred), built.full.geometry(centred)
        assert found.cosines.shape == (ROWS, 0)
        for name in GEOMETRY[1:]:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=tolerance, atol=tolerance
            )
    assert np.array_equal(built.alone.means, built.full.means)
    assert np.array_equal(built.alone.target_cosines, built.full.target_cosines)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["partial", "mixed"])
def test_scarce_pairs_are_those_of_full_statistics(
    build: Callable[..., Built], kind: str, precision: Precision
) -> None:
    built = build(kind, precision)
    rows = np.array([0, 7, 8, 255, 256, 299])
    for centred in (False, True):
        known = KnownPairs(built.full.geometry(centred))
        scarce = built.scarce(*range(4), centred=centred)
        for member in range(4):
            others = np.arange(4) != member
            found = scarce.between(member, rows)[:, others]
            assert found.dtype == precision
            np.testing.assert_allclose(
                found,
                known.between(member, rows)[:, others],
                rtol=0,
                atol=1e-6 if precision == "float32" else 1e-12,
            )


def test_any_number_of_jobs_and_of_members_at_once_builds_the_same_bytes(
    build: Callable[..., Built],
) -> None:
    built, rows = build(), np.arange(ROWS)
    one = built.scarce(1).between(1, rows)
    for file in entries():
        file.unlink()
    assert built.scarce(0, 1, 2, jobs=3).between(1, rows).tobytes() == one.tobytes()


def test_only_the_members_asked_for_are_built_and_none_twice(
    build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    built, rows = build(), np.arange(ROWS)
    expected = built.scarce(0, 2).between(2, rows)
    assert len(entries()) == 2
    monkeypatch.setattr(Member, "read_into", None)  # another build would call it
    assert built.scarce(0, 2, 2).between(2, rows).tobytes() == expected.tobytes()


def test_other_folds_share_the_pairs_and_another_centring_does_not(
    build: Callable[..., Built],
) -> None:
    built = build()
    built.scarce(0)
    other = cached_statistics(
        built.store, built.store.names, (np.arange(ROWS) + 1) % 3, pairs=False
    )
    ScarcePairs(built.store, other, centred=True).prepare([0])
    assert len(entries()) == 1
    built.scarce(0, centred=False)
    assert len(entries()) == 2


def test_a_truncated_entry_is_built_again(build: Callable[..., Built]) -> None:
    built, rows = build(), np.arange(ROWS)
    expected = built.scarce(3).between(3, rows)
    (file,) = entries()
    file.write_bytes(file.read_bytes()[:1000])
    assert built.scarce(3).between(3, rows).tobytes() == expected.tobytes()
