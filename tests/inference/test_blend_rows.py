"""The blend over vectors against plain Python, and the rules for rows without a direction."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensembler.blending.apply import WeightedSum, blend_rows

ROWS, DIM = 7, 5


def scaled_rows(rng: np.random.Generator, magnitude: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(ROWS, DIM) float32 whose lengths run over 1e-magnitude..1e+magnitude, some rows zero."""
    scale = 10.0 ** rng.uniform(-magnitude, magnitude, (ROWS, 1))
    present = rng.random((ROWS, 1)) > 0.3
    return (rng.standard_normal((ROWS, DIM)) * scale * present).astype(np.float32)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 4),
    centred=st.booleans(),
    magnitude=st.sampled_from([0, 4, 30]),
)
def test_blend_agrees_with_plain_python(
    naive_row: Callable[..., Any], seed: int, count: int, centred: bool, magnitude: int
) -> None:
    rng = np.random.default_rng(seed)
    blocks = [scaled_rows(rng, magnitude) for _ in range(count)]
    blend = WeightedSum(
        prior_weight=float(rng.choice([0.0, 0.3, -0.2])),
        weights=rng.choice([0.0, 1.0, 0.25, -0.5], count),
        alphas=rng.choice([0.0, 0.5, 1.0, 2.0], count),
        means=scaled_rows(rng, magnitude)[:count] if centred else None,
    )
    prior = rng.standard_normal((ROWS, DIM))
    rows = blend_rows(blend, prior, blocks)
    for i in range(ROWS):
        expected = naive_row(blend, prior[i].tolist(), [block[i] for block in blocks])
        assert (rows.absent[i], rows.cancelled[i]) == (expected.absent, expected.cancelled)
        np.testing.assert_allclose(rows.vectors[i], expected.vector, rtol=0, atol=1e-9)


def plain(*weights: float, prior_weight: float = 0.0, alpha: float = 0.0) -> WeightedSum:
    return WeightedSum(
        prior_weight=prior_weight,
        weights=np.array(weights),
        alphas=np.full(len(weights), alpha),
        means=None,
    )


PRIOR = np.array([[0.0, 0.6, 0.8]])
EAST = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
NOTHING = np.zeros((1, 3), dtype=np.float32)


@pytest.mark.parametrize("prior_weight", [0.0, 0.5, -0.5])
def test_a_row_without_a_member_gets_the_prior_whatever_its_weight(prior_weight: float) -> None:
    rows = blend_rows(plain(0.5, 0.5, prior_weight=prior_weight), PRIOR, [NOTHING, NOTHING])
    assert rows.absent.tolist() == [True]
    np.testing.assert_allclose(rows.vectors, PRIOR, atol=1e-15)


def test_a_member_of_weight_zero_is_not_in_the_blend() -> None:
    rows = blend_rows(plain(0.0, 1.0), PRIOR, [EAST, NOTHING])
    assert rows.absent.tolist() == [True]
    np.testing.assert_allclose(rows.vectors, PRIOR, atol=1e-15)


def test_a_lacking_member_leaves_the_others_to_renormalise() -> None:
    north = np.array([[0.0, 2.0, 0.0]], dtype=np.float32)
    rows = blend_rows(plain(0.9, 0.05, 0.05), PRIOR, [NOTHING, EAST, north * np.float32(0.5)])
    np.testing.assert_allclose(rows.vectors, [[0.5**0.5, 0.5**0.5, 0.0]], atol=1e-15)


def test_parts_that_cancel_leave_zero_and_are_counted() -> None:
    rows = blend_rows(plain(0.5, 0.5), PRIOR, [EAST, -EAST])
    assert rows.cancelled.tolist() == [True]
    assert rows.absent.tolist() == [False]
    assert not rows.vectors.any()


@pytest.mark.parametrize(("gap", "cancelled"), [(0.5e-6, True), (1e-5, False)])
def test_a_sum_counts_as_cancelled_up_to_a_millionth_of_its_parts(
    gap: float, cancelled: bool
) -> None:
    rows = blend_rows(plain(1.0, -1.0 + 2.0 * gap), PRIOR, [EAST, EAST])
    assert rows.cancelled.tolist() == [cancelled]


def test_a_tiny_blend_is_no_cancelled_one() -> None:
    rows = blend_rows(plain(1e-9), PRIOR, [EAST * np.float32(1e-30)])
    assert not rows.cancelled.any()
    np.testing.assert_allclose(rows.vectors, EAST, atol=1e-15)


def test_a_constant_member_counts_as_absent_once_centred() -> None:
    constant = np.array([[0.1, 0.7, 0.3]], dtype=np.float32)
    almost = np.nextafter(constant, np.float32(1.0))
    blend = WeightedSum(
        prior_weight=0.0, weights=np.ones(1), alphas=np.ones(1), means=constant.copy()
    )
    for block in (constant, almost):
        rows = blend_rows(blend, PRIOR, [block])
        assert rows.absent.tolist() == [True]


def test_a_zero_row_stays_absent_when_the_mean_is_subtracted() -> None:
    blend = WeightedSum(prior_weight=0.0, weights=np.ones(1), alphas=np.zeros(1), means=EAST)
    assert blend_rows(blend, PRIOR, [NOTHING]).absent.tolist() == [True]


def test_each_row_meets_its_own_prior() -> None:
    priors = np.eye(3)
    rows = blend_rows(plain(1.0, prior_weight=1.0), priors, [np.zeros((3, 3), dtype=np.float32)])
    np.testing.assert_array_equal(rows.vectors, priors)


@pytest.mark.parametrize("alpha", [-4.0, 0.5, 4.0])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_the_widest_powers_of_the_widest_lengths_stay_finite(alpha: float, size: float) -> None:
    blend = plain(1e9, prior_weight=1e-9, alpha=alpha)
    rows = blend_rows(blend, PRIOR, [EAST * np.float32(size)])
    np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), 1.0)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([1e-6, 3.0, 1e6]))
def test_scaling_all_weights_or_permuting_members_changes_nothing(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    blocks = [scaled_rows(rng, 1) for _ in range(3)]
    prior, weights, alphas = rng.standard_normal((ROWS, DIM)), rng.random(3), rng.random(3)
    one = WeightedSum(prior_weight=0.2, weights=weights, alphas=alphas, means=None)
    order = rng.permutation(3)
    other = WeightedSum(
        prior_weight=0.2 * factor,
        weights=weights[order] * factor,
        alphas=alphas[order],
        means=None,
    )
    expected = blend_rows(one, prior, blocks).vectors
    found = blend_rows(other, prior, [blocks[m] for m in order]).vectors
    np.testing.assert_allclose(found, expected, atol=1e-12)
