"""Search: by blocks, what every pair's own float64 product says; by cells, nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.curation import neighbours, neighbours_cells, neighbours_choice
from ensembler.curation.neighbours import ExactIndex, Index, near_pairs
from ensembler.curation.neighbours_cells import CellIndex
from ensembler.curation.neighbours_choice import make_index
from ensembler.metrics import unit_rows

Vectors = NDArray[np.float32]


def naive_pairs(queries: Vectors, keys: Vectors, threshold: float) -> set[tuple[int, int]]:
    """By the formula, number by number."""
    return {
        (q, k)
        for q, left in enumerate(queries.tolist())
        for k, right in enumerate(keys.tolist())
        if math.fsum(a * b for a, b in zip(left, right, strict=True)) >= threshold
    }


def found_by(index: Index, queries: Vectors) -> list[tuple[int, int]]:
    return [
        pair
        for portion in index.near(queries)
        for pair in zip(portion.queries.tolist(), portion.rows.tolist(), strict=True)
    ]


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.95])
def test_pairs_are_those_of_a_naive_loop_in_order(
    clustered: Callable[..., Vectors], threshold: float
) -> None:
    vectors = clustered(60)
    found = near_pairs(vectors[:20], vectors, threshold)
    pairs = list(zip(found.queries.tolist(), found.rows.tolist(), strict=True))
    assert pairs == sorted(naive_pairs(vectors[:20], vectors, threshold))


def test_a_cosine_that_float32_rounds_across_the_threshold_is_decided_in_float64() -> None:
    rng = np.random.default_rng(3)
    vectors = unit_rows(rng.normal(size=(300, 384)) + 1.0).astype(np.float32)
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    rounded = vectors @ vectors.T
    off = np.flatnonzero((rounded > exact + 1e-8).ravel())
    query, key = divmod(int(off[0]), len(vectors))
    threshold = float((rounded[query, key] + exact[query, key]) / 2)
    found = near_pairs(vectors[[query]], vectors[[key]], threshold)
    assert rounded[query, key] > threshold > exact[query, key]
    assert not len(found.queries)


def test_a_zero_vector_is_near_nothing_not_even_itself() -> None:
    zero = np.zeros((2, 4), np.float32)
    assert not len(near_pairs(zero, zero, 0.01).queries)


@pytest.mark.parametrize("kind", [ExactIndex, CellIndex])
def test_an_index_finds_the_rows_that_were_added_and_no_others(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch, kind: type[ExactIndex]
) -> None:
    monkeypatch.setattr(neighbours, "PANEL", 16)
    monkeypatch.setattr(neighbours_cells, "PORTION", 7)
    monkeypatch.setattr(neighbours_cells, "ROWS_A_CELL", 50)  # as many as faiss asks for
    vectors = clustered(200)
    index = kind(vectors, 0.8)
    assert found_by(index, vectors) == []
    index.add(np.arange(0, 50))
    index.add(np.arange(60, 200, 2))
    added = np.r_[0:50, 60:200:2].tolist()
    expected = {(q, added[k]) for q, k in naive_pairs(vectors, vectors[added], 0.8)}
    found = found_by(index, vectors)
    assert len(found) == len(set(found))
    assert set(found) == expected  # all cells are looked in: there are fewer than PROBES


def test_cells_are_cut_only_where_there_are_too_many_rows_to_compare(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered(200)
    monkeypatch.setattr(neighbours_choice, "EXACT_ROWS", 200)
    assert isinstance(make_index(vectors, 0.9), ExactIndex)
    monkeypatch.setattr(neighbours_choice, "EXACT_ROWS", 199)
    assert isinstance(make_index(vectors, 0.9), CellIndex)
