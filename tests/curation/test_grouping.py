"""Groups of similar rows, and what is left of similarity across folds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from ensembler.curation import grouping_leaks, neighbours, neighbours_choice
from ensembler.curation.grouping import find_components
from ensembler.curation.grouping_leaks import measure_leak
from ensembler.curation.neighbours import ExactIndex
from ensembler.folds import group_folds
from ensembler.metrics import unit_rows

Vectors = NDArray[np.float32]


def naive_components(vectors: Vectors, threshold: float) -> list[int]:
    """From each row that has no group yet, whatever can be reached."""
    wide = vectors.astype(np.float64)
    group = [-1] * len(wide)
    for first in range(len(wide)):
        reached = [first] if group[first] < 0 else []
        while reached:
            row = reached.pop()
            group[row] = first
            near = np.flatnonzero(wide @ wide[row] >= threshold).tolist()
            reached += [other for other in near if group[other] < 0]
    return group


@given(
    st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=30),
    st.sampled_from([0.71, 0.93, 0.97]),
    st.sampled_from([1, 3, 64]),
)
def test_components_are_what_a_walk_over_near_rows_reaches_whatever_the_blocks(
    rows: list[tuple[int, int, int]], threshold: float, block: int
) -> None:
    vectors = unit_rows(np.array(rows, np.float64)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExactIndex, "block", block)
        patch.setattr(neighbours, "PANEL", 2)
        assert find_components(vectors, threshold).tolist() == naive_components(vectors, threshold)


def test_components_are_the_clusters_of_single_linkage(clustered: Callable[..., Vectors]) -> None:
    vectors = clustered(300, noise=0.6)
    group = find_components(vectors, 0.7)
    linked = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="single", distance_threshold=0.3
    ).fit_predict(vectors)
    assert 5 < len(set(group.tolist())) < 250
    assert len(set(zip(group.tolist(), linked.tolist(), strict=True))) == len(set(group.tolist()))
    assert len(set(linked.tolist())) == len(set(group.tolist()))


def test_a_chain_is_one_group_though_its_ends_are_far_apart() -> None:
    angle = np.arange(20) * 0.3
    chain = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    shuffled = np.random.default_rng(0).permutation(20)
    assert find_components(chain[shuffled], 0.95).tolist() == [0] * 20


@pytest.mark.parametrize("exact_rows", [120, 10], ids=["all rows", "all rows, as if drawn"])
def test_the_leak_is_that_of_a_naive_loop(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch, exact_rows: int
) -> None:
    monkeypatch.setattr(grouping_leaks, "EXACT_ROWS", exact_rows)
    monkeypatch.setattr(grouping_leaks, "BLOCK", 7)
    monkeypatch.setattr(grouping_leaks, "PANEL", 11)
    vectors = clustered(120, noise=0.6)
    fold = np.random.default_rng(1).integers(4, size=120)
    leak = measure_leak(vectors, fold, 0.8)
    cosine = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    across = np.where(fold[:, None] == fold[None], -1.0, cosine)
    assert leak.looked == 120
    assert leak.largest == pytest.approx(across.max(), abs=1e-12)
    assert across[leak.pair] == across.max()
    assert leak.near == (across >= 0.8).any(axis=1).mean()
    assert 0.0 < leak.near < 1.0


def test_of_many_rows_some_are_drawn_and_their_number_is_told(
    clustered: Callable[..., Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping_leaks, "EXACT_ROWS", 100)
    monkeypatch.setattr(neighbours_choice, "DRAWN", 40)
    vectors = clustered(120)
    leak = measure_leak(vectors, np.arange(120) % 3, 0.8)
    assert leak.looked == 40
    assert leak == measure_leak(vectors, np.arange(120) % 3, 0.8)


def test_folds_of_components_leave_no_near_pair_across_them(
    clustered: Callable[..., Vectors],
) -> None:
    vectors = clustered(300, noise=0.6)
    groups = find_components(vectors, 0.8).astype(np.str_)
    leak = measure_leak(vectors, group_folds(groups, 5), 0.8)
    assert leak.near == 0.0
    assert leak.largest < 0.8
