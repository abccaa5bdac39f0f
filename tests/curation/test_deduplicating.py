"""Of near-duplicates exactly one stays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensembler.curation import neighbours, neighbours_cells
from ensembler.curation.deduplicating import find_leaders, measure_recall
from ensembler.curation.neighbours import ExactIndex
from ensembler.curation.neighbours_cells import CellIndex
from ensembler.metrics import unit_rows

Vectors = NDArray[np.float32]
SMALL = st.lists(
    st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=30
)  # of few directions: many are twins, some are zero


def naive_leaders(vectors: Vectors, threshold: float) -> list[int]:
    """Row by row: the first leader so far that is near, else the row itself."""
    wide = vectors.astype(np.float64)
    leader: list[int] = []
    for row in range(len(wide)):
        leaders = [other for other in range(row) if leader[other] == other]
        near = [other for other in leaders if wide[row] @ wide[other] >= threshold]
        leader.append(near[0] if near else row)
    return leader


@given(SMALL, st.sampled_from([0.43, 0.71, 0.93]), st.sampled_from([1, 3, 64]))
def test_whoever_goes_is_near_one_that_stays_before_it_and_no_two_that_stay_are_near(
    rows: list[tuple[int, int, int]], threshold: float, block: int
) -> None:
    vectors = unit_rows(np.array(rows, np.float64)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExactIndex, "block", block)
        patch.setattr(neighbours, "PANEL", 2)
        leader = find_leaders(vectors, threshold)
    assert leader.tolist() == naive_leaders(vectors, threshold)
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    stays = np.flatnonzero(leader == np.arange(len(leader)))
    assert stays[0] == 0
    assert (np.triu(cosine[np.ix_(stays, stays)], 1) < threshold).all()
    for row in np.flatnonzero(leader != np.arange(len(leader))):
        assert leader[row] in stays
        assert leader[row] < row
        assert cosine[row, leader[row]] >= threshold


@pytest.mark.parametrize("block", [7, 2048])
def test_leaders_are_those_of_a_naive_loop_whatever_the_blocks(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(ExactIndex, "block", block)
    vectors = clustered(150, noise=0.5)
    leader = find_leaders(vectors, 0.8)
    assert leader.tolist() == naive_leaders(vectors, 0.8)
    assert 20 < len(set(leader.tolist())) < 140


@pytest.mark.parametrize("block", [7, 2048])
def test_leaders_by_cells_are_those_of_a_naive_loop_where_every_cell_is_looked_in(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(ExactIndex, "block", block)  # a block of cells holds many of these, or one
    vectors = clustered(400, noise=0.5)
    by_cells = CellIndex(vectors, 0.8)
    assert 10 < by_cells.block < 400
    assert find_leaders(vectors, 0.8, by_cells).tolist() == naive_leaders(vectors, 0.8)


def test_twins_leave_exactly_one_the_first() -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (10, 1))
    assert find_leaders(vectors, 0.99).tolist() == [0] * 10


def test_the_recall_is_the_share_of_near_duplicates_that_were_found(
    clustered: Callable[..., Vectors],
) -> None:
    vectors = clustered(150, noise=0.5)
    leader = find_leaders(vectors, 0.8)
    assert measure_recall(vectors, leader, 0.8) == 1.0
    gone = np.flatnonzero(leader != np.arange(len(leader)))
    blind = leader.copy()
    blind[gone[-5:]] = gone[-5:]  # as if a search had missed the last five
    assert measure_recall(vectors, blind, 0.8) == pytest.approx((len(gone) - 5) / len(gone))


def test_a_search_by_cells_is_repeatable_and_near_the_exact_one(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours_cells, "PROBES", 2)
    vectors = clustered(2_000)
    leader, again = (find_leaders(vectors, 0.9, CellIndex(vectors, 0.9)) for _ in range(2))
    np.testing.assert_array_equal(leader, again)
    stays = leader == np.arange(len(leader))
    cosine = np.einsum("id,id->i", vectors[~stays], vectors[leader[~stays]])
    assert (cosine >= 0.9 - 1e-6).all()
    assert 0.9 < measure_recall(vectors, leader, 0.9) <= 1.0
