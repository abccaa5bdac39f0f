"""The metric against plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembler.metrics import mean_cosine, paired_cosine, unit_rows

SCALES = [1e-300, 1e-30, 1e-20, 1.0, 1e20, 1e30, 1e300]


def naive_cosine(left: list[float], right: list[float]) -> float:
    peaks = max(map(abs, left)), max(map(abs, right))
    if 0.0 in peaks:
        return 0.0
    a, b = [x / peaks[0] for x in left], [x / peaks[1] for x in right]
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    left=st.sampled_from(SCALES),
    right=st.sampled_from(SCALES),
    weighted=st.booleans(),
)
def test_the_score_is_the_mean_of_plain_cosines(
    seed: int, left: float, right: float, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    predicted, target = rng.normal(size=(2, 9, 5))
    predicted[3], target[6] = 0.0, 0.0
    weight = rng.uniform(0.0, 2.0, 9) if weighted else None
    shares = np.ones(9) if weight is None else weight
    cosines = [naive_cosine(a.tolist(), b.tolist()) for a, b in zip(predicted, target, strict=True)]
    found = paired_cosine(left * predicted, right * target)
    np.testing.assert_allclose(found, cosines, rtol=0, atol=1e-14)
    expected = math.fsum(c * s for c, s in zip(cosines, shares, strict=True)) / math.fsum(shares)
    assert mean_cosine(predicted, target, weight) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_unit_rows_are_float64_of_length_one(dtype: str) -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 7)).astype(dtype)
    units = unit_rows(vectors)
    assert units.dtype == np.float64
    np.testing.assert_allclose((units * units).sum(axis=1), 1.0, rtol=0, atol=1e-14)
    assert (np.sign(units) == np.sign(vectors)).all()


def test_a_zero_row_stays_zero() -> None:
    assert unit_rows(np.zeros((2, 3), dtype=np.float32)).tolist() == [[0.0] * 3] * 2


def test_no_rows_stay_no_rows() -> None:
    assert unit_rows(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_becomes_nan_and_no_other(value: float) -> None:
    units = unit_rows(np.array([[1.0, value], [3.0, 4.0]]))
    assert np.isnan(units[0]).all()
    np.testing.assert_allclose(units[1], [0.6, 0.8])


def test_the_smallest_and_the_largest_floats_have_a_direction() -> None:
    for vectors in (
        np.array([[5e-324, 0.0], [1e308, 1e308]]),
        np.array([[1e-45, 0.0], [3e38, 3e38]], dtype=np.float32),
    ):
        np.testing.assert_allclose(unit_rows(vectors), [[1.0, 0.0], [0.5**0.5, 0.5**0.5]])


def test_a_row_of_weight_zero_does_not_count() -> None:
    predicted, target = np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert mean_cosine(predicted, target) == 0.5
    assert mean_cosine(predicted, target, np.array([2.0, 0.0])) == 1.0
