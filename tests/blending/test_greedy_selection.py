"""Greedy selection against the ten-line loop over blended vectors that people write by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembler.blending.greedy import greedy_selection
from ensembler.blending.objective import scores
from ensembler.metrics import mean_cosine, unit_rows

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World


def by_hand(vectors: Vector, targets: Vector, rounds: int, patience: int) -> Vector:
    """How often each of the (K, n, d) vectors is taken; the best round counts."""
    counts = np.zeros(len(vectors))
    best, best_value, waited = counts, -np.inf, 0
    for _ in range(rounds):
        total = np.einsum("k,kid->id", counts, vectors)
        values = [mean_cosine(total + more, targets) for more in vectors]
        counts = counts + np.eye(len(vectors))[int(np.argmax(values))]
        waited += 1
        if max(values) > best_value + 1e-12:  # 4:1 and 8:2 are one blend, up to rounding
            best, best_value, waited = counts, max(values), 0
        elif waited >= patience:
            break
    return np.asarray(best / best.sum())


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_greedy_selection_is_the_loop_over_vectors(
    make_world: Callable[..., World], seed: int
) -> None:
    world = make_world(seed, rows=60, members=4)
    problem = world.problem(precision="float64")
    taken = greedy_selection(problem, np.array([False, True, True, True, True]))
    vectors = np.stack([unit_rows(member) for member in world.embeddings])
    expected = by_hand(vectors, world.targets.astype(np.float64), 50, 10)
    np.testing.assert_allclose(taken, np.r_[0.0, expected], rtol=0, atol=1e-12)


def test_the_prior_is_taken_where_it_is_allowed(
    make_world: Callable[..., World], oracle_prior: Callable[..., Vector]
) -> None:
    world = make_world(1, rows=40)
    problem = world.problem(precision="float64")
    prior = np.stack([oracle_prior(world, row, None) for row in range(40)])
    vectors = np.stack([prior, *(unit_rows(member) for member in world.embeddings)])
    taken = greedy_selection(problem, np.ones(4, dtype=bool))
    expected = by_hand(vectors, world.targets.astype(np.float64), 50, 10)
    assert expected[0] > 0.0
    np.testing.assert_allclose(taken, expected, rtol=0, atol=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), centred=st.booleans())
def test_greedy_selection_is_never_below_the_single_best(
    make_world: Callable[..., World], seed: int, centred: bool
) -> None:
    problem = make_world(seed, missing=0.3).problem([0.0, 1.0, 0.5], centred=centred)
    taken = greedy_selection(problem, np.ones(4, dtype=bool))
    assert taken.sum() == pytest.approx(1.0)
    assert (taken >= 0.0).all()
    assert scores(problem, taken[None, :])[0] >= scores(problem, np.eye(4)).max() - 1e-7


def test_a_perfect_member_is_all_that_is_taken(make_world: Callable[..., World]) -> None:
    world = make_world(2)
    world.embeddings[2] = world.targets
    taken = greedy_selection(world.problem(precision="float64"), np.ones(4, dtype=bool))
    assert taken.tolist() == [0.0, 0.0, 0.0, 1.0]
