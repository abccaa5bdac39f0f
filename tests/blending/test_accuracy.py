"""The promise |J - J_float64| <= 1e-6, against loops over the vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ensembler.blending.objective import expand, row_cosines, scores
from ensembler.blending.statistics import Precision
from ensembler.blending.weighting import Weighting, weighting_cosines

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World

PROMISE = 1e-6
SCALES = ["unit", "spread", "tiny", "huge", "mixed"]
NORMS = [0.0, 1.0, 0.5, -1.0, 2.0]

seeds = st.integers(0, 2**32 - 1)
alphas_of_three = st.tuples(*[st.sampled_from(NORMS)] * 3)
held_out_folds = st.sampled_from([None, 0, 3])


def nonnegative_weights(seed: int, columns: int) -> NDArray[np.float64]:
    """Weights that sum to 1; about a third of them are zero."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(columns)) * (rng.random(columns) > 0.3)
    return weights if weights.any() else np.eye(columns)[-1]


@settings(max_examples=120)
@given(
    seed=seeds,
    scale=st.sampled_from(SCALES),
    missing=st.sampled_from([0.0, 0.3, 0.7]),
    alphas=alphas_of_three,
    centred=st.booleans(),
    held_out=held_out_folds,
    weighted=st.booleans(),
)
def test_nonnegative_blends_score_as_the_oracle_says(
    make_world: Callable[..., World],
    oracle_score: Callable[..., float],
    seed: int,
    scale: str,
    missing: float,
    alphas: tuple[float, ...],
    centred: bool,
    held_out: int | None,
    weighted: bool,
) -> None:
    world = make_world(seed, scale=scale, missing=missing, weighted=weighted)
    problem = world.problem(alphas, centred=centred, held_out=held_out)
    weights = nonnegative_weights(seed, 4)
    expected = oracle_score(problem, world, weights)
    scaled = weights * problem.scale
    assert scores(problem, scaled[None, :])[0] == pytest.approx(expected, rel=0, abs=PROMISE)
    at = expand(problem, scaled / scaled.sum())
    assert at.value == pytest.approx(expected, rel=0, abs=PROMISE)


@settings(max_examples=40)
@given(
    seed=seeds,
    twins=st.sampled_from([1e-2, 1e-4, 1e-6, 0.0]),
    alphas=alphas_of_three,
    centred=st.booleans(),
)
def test_near_duplicate_members_score_as_the_oracle_says(
    make_world: Callable[..., World],
    oracle_score: Callable[..., float],
    seed: int,
    twins: float,
    alphas: tuple[float, ...],
    centred: bool,
) -> None:
    world = make_world(seed, twins=twins, scale="spread", missing=0.2)
    problem = world.problem(alphas, centred=centred)
    weights = nonnegative_weights(seed, 4)
    value = scores(problem, (weights * problem.scale)[None, :])[0]
    assert value == pytest.approx(oracle_score(problem, world, weights), rel=0, abs=PROMISE)


@settings(max_examples=30)
@given(seed=seeds, alphas=alphas_of_three, centred=st.booleans(), scale=st.sampled_from(SCALES[:2]))
def test_float16_members_score_as_the_oracle_says_of_the_stored_values(
    make_world: Callable[..., World],
    oracle_score: Callable[..., float],
    seed: int,
    alphas: tuple[float, ...],
    centred: bool,
    scale: str,
) -> None:
    world = make_world(seed, stored="float16", scale=scale, missing=0.2)
    problem = world.problem(alphas, centred=centred)
    weights = nonnegative_weights(seed, 4)
    value = scores(problem, (weights * problem.scale)[None, :])[0]
    assert value == pytest.approx(oracle_score(problem, world, weights), rel=0, abs=PROMISE)


@settings(max_examples=80)
@given(
    seed=seeds,
    twins=st.sampled_from([None, 1e-1, 1e-3]),
    scale=st.sampled_from(SCALES[:4]),
    missing=st.sampled_from([0.0, 0.4]),
    alphas=alphas_of_three,
    centred=st.booleans(),
)
def test_free_blends_that_cancel_score_as_the_oracle_says_in_double_precision(
    make_world: Callable[..., World],
    oracle_score: Callable[..., float],
    seed: int,
    twins: float | None,
    scale: str,
    missing: float,
    alphas: tuple[float, ...],
    centred: bool,
) -> None:
    world = make_world(seed, twins=twins, scale=scale, missing=missing)
    problem = world.problem(alphas, centred=centred, precision="float64")
    rng = np.random.default_rng(seed)
    weights = rng.choice([1.0, -1.0, 0.9, 0.0], 4) / problem.scale
    weights[3] = 1.0 / problem.scale[3]
    scaled = weights * problem.scale
    expected = oracle_score(problem, world, weights)
    assert scores(problem, scaled[None, :])[0] == pytest.approx(expected, rel=0, abs=PROMISE)
    assert expand(problem, scaled).value == pytest.approx(expected, rel=0, abs=PROMISE)


def test_every_row_scores_as_the_oracle_says(
    make_world: Callable[..., World], oracle_cosines: Callable[..., Vector]
) -> None:
    world = make_world(5, scale="spread", missing=0.3)
    rows = np.arange(1, 24, 2)
    problem = world.problem([1.0, 0.0, 0.5], centred=True, held_out=2, rows=rows)
    weights = np.array([0.2, 0.1, 0.3, 0.4])
    expected = oracle_cosines(problem, world, weights)
    np.testing.assert_allclose(
        row_cosines(problem, weights * problem.scale), expected, rtol=0, atol=PROMISE
    )
    weighting = Weighting(centred=True, alphas=(1.0, 0.0, 0.5), weights=tuple(weights.tolist()))
    again = weighting_cosines(problem.selection.statistics, weighting, rows, 2)
    np.testing.assert_allclose(again, expected, rtol=0, atol=PROMISE)


def test_a_row_without_a_member_scores_with_the_prior_whatever_the_priors_weight(
    make_world: Callable[..., World], oracle_prior: Callable[..., Vector]
) -> None:
    world = make_world(2)
    world.embeddings[:, 7] = 0.0
    target = world.targets[7] / np.linalg.norm(world.targets[7].astype(np.float64))
    problem = world.problem(precision="float64")
    for prior_weight in (-0.5, 0.0, 0.5):
        weights = np.array([prior_weight, 1.0, 1.0, 1.0])
        cosine = row_cosines(problem, weights)[7]
        assert cosine == pytest.approx(oracle_prior(world, 7, None) @ target, abs=1e-7)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_row_whose_parts_cancel_scores_nothing(
    make_world: Callable[..., World], precision: Precision
) -> None:
    world = make_world(3, members=2)
    world.embeddings[1] = -3.0 * world.embeddings[0]
    world.embeddings[1, 4:] = world.embeddings[0, 4:]
    problem = world.problem(precision=precision)
    cosines = row_cosines(problem, np.array([0.0, 0.5, 0.5]))
    # Float32 statistics cannot tell 1e-6 of the parts' length from rounding: they leave noise.
    np.testing.assert_allclose(cosines[:4], 0.0, atol=0.0 if precision == "float64" else 5e-3)
    assert (cosines[4:] != 0.0).all()


@pytest.mark.parametrize("factor", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_scaling_all_weights_keeps_every_score(
    make_world: Callable[..., World], factor: float
) -> None:
    problem = make_world(6, missing=0.3).problem([0.0, 1.0, 0.5], centred=True)
    candidates = np.random.default_rng(1).dirichlet(np.ones(4), 8)
    expected = scores(problem, candidates)
    np.testing.assert_allclose(scores(problem, factor * candidates), expected, rtol=0, atol=1e-7)


@settings(max_examples=40)
@given(
    seed=seeds,
    scale=st.sampled_from(["unit", "spread"]),
    missing=st.sampled_from([0.0, 0.4]),
    centred=st.booleans(),
    free=st.booleans(),
)
def test_gradient_and_hessian_are_the_central_differences(
    make_world: Callable[..., World],
    oracle_score: Callable[..., float],
    seed: int,
    scale: str,
    missing: float,
    centred: bool,
    free: bool,
) -> None:
    world = make_world(seed, rows=12, scale=scale, missing=missing, weighted=True)
    problem = world.problem([0.0, 1.0, 0.5], centred=centred, precision="float64")
    rng = np.random.default_rng(seed)
    here = rng.uniform(0.2, 1.0, 4) * (rng.choice([1.0, -1.0], 4) if free else 1.0)
    here[1] = 1.0
    here /= np.abs(here).sum()
    at = expand(problem, here)
    slope, curvature = np.empty(4), np.empty((4, 4))
    step = 1e-5
    for k, axis in enumerate(step * np.eye(4)):
        above, below = here + axis, here - axis
        value_above = oracle_score(problem, world, above / problem.scale)
        slope[k] = (value_above - oracle_score(problem, world, below / problem.scale)) / (2 * step)
        curvature[k] = (expand(problem, above).gradient - expand(problem, below).gradient) / (
            2 * step
        )
    # The differences' own error is step² times a third derivative, which short blends make large.
    np.testing.assert_allclose(at.gradient, slope, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(at.hessian, curvature, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(at.hessian, at.hessian.T, rtol=1e-12, atol=1e-12)
    assert at.gradient @ here == pytest.approx(0.0, abs=1e-9)  # no gain along the common scale
