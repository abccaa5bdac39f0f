"""Averaging of several checkpoints' vectors."""

from __future__ import annotations

import numpy as np
import pytest

from ensembler.predicting.averaging import average_directions


def test_directions_are_averaged_and_rows_get_the_length() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(3, 7, 5)) * rng.lognormal(size=(3, 7, 1))).astype(np.float32)
    found = average_directions(vectors, 2.5)
    assert found.dtype == np.float32
    for row in range(7):
        units = [
            v[row].astype(np.float64) / np.linalg.norm(v[row].astype(np.float64)) for v in vectors
        ]
        mean = np.mean(units, axis=0)
        np.testing.assert_allclose(
            found[row], 2.5 * mean / np.linalg.norm(mean), rtol=1e-6, atol=1e-7
        )


def test_rows_may_have_a_length_each() -> None:
    vectors = np.ones((2, 3, 4), dtype=np.float32)
    lengths = np.array([0.5, 1.0, 3.0])
    norms = np.linalg.norm(average_directions(vectors, lengths), axis=1)
    np.testing.assert_allclose(norms, lengths, rtol=1e-6)


def test_no_checkpoint_speaks_louder_than_another() -> None:
    loud, quiet = np.array([[[1e6, 0.0]], [[0.0, 1e-6]]], dtype=np.float32)
    assert average_directions(np.stack([loud, quiet]), 1.0) == pytest.approx(
        np.full((1, 2), np.sqrt(0.5))
    )


def test_a_row_that_a_checkpoint_lacks_is_the_others_average() -> None:
    vectors = np.array([[[3.0, 4.0]], [[0.0, 0.0]]], dtype=np.float32)
    assert average_directions(vectors, 1.0) == pytest.approx(np.array([[0.6, 0.8]]))


@pytest.mark.parametrize("vectors", [[[[1.0, 0.0]], [[-1.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
def test_what_cancels_or_is_lacking_everywhere_is_zero(vectors: list[list[list[float]]]) -> None:
    assert not average_directions(np.array(vectors, dtype=np.float32), 1.0).any()
