"""Groups of unit length in Gram space against sums of vectors, row by row in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending.grouped import ascend_grouped, grouped_slope
from ensembler.blending.problem import Problem

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World

GROUPS = (np.array([1, 3]), np.array([2, 4, 5]))  # columns: the prior is 0
ALPHAS = (0.0, 1.0, 0.5, 0.0, 1.0)


def naive_score(
    world: World, problem: Problem, prior_of: Callable[..., Vector], w: Vector
) -> float:
    """The mean over rows, each group added up vector by vector; weights in the columns' scale."""
    total, means = 0.0, problem.selection.statistics.means.astype(np.float64)
    weights = w / problem.scale
    for row in range(len(world.fold)):
        prior, covered = prior_of(world, row, None), False
        blend = w[0] * prior
        for group in GROUPS:
            inner = np.zeros(prior.shape)
            for column in group:
                stored = world.embeddings[column - 1, row].astype(np.float64)
                if stored.any():
                    x = stored - means[column - 1] * problem.selection.centred
                    inner += weights[column] * x / np.linalg.norm(x) ** ALPHAS[column - 1]
            if inner.any():
                blend = blend + w[group].sum() * inner / np.linalg.norm(inner)
                covered = True
        blend = blend if covered else prior
        target = world.targets[row].astype(np.float64)
        cosine = blend @ target / np.linalg.norm(blend) / np.linalg.norm(target)
        total += world.weight[row] * cosine
    return float(total / world.weight.sum())


@pytest.fixture(params=[False, True], ids=["raw", "centred"])
def problem_of(
    request: pytest.FixtureRequest, make_world: Callable[..., World]
) -> tuple[World, Problem]:
    world = make_world(3, rows=40, members=5, missing=0.3, weighted=True, scale="spread")
    return world, world.problem(ALPHAS, centred=request.param, precision="float64")


def some_weights() -> NDArray[np.float64]:
    return np.random.default_rng(5).dirichlet(np.ones(6))


def test_rows_score_what_the_vectors_say(
    problem_of: tuple[World, Problem], oracle_prior: Callable[..., Vector]
) -> None:
    world, problem = problem_of
    for weights in (some_weights(), np.array([0.0, 1.0, 0.0, 0.0, 2.0, 0.0])):
        found = grouped_slope(problem, GROUPS, weights).value
        assert found == pytest.approx(naive_score(world, problem, oracle_prior, weights), abs=1e-12)


def test_the_gradient_is_that_of_finite_differences(problem_of: tuple[World, Problem]) -> None:
    _, problem = problem_of
    weights, step = some_weights(), 1e-6
    ahead, behind = (
        [grouped_slope(problem, GROUPS, weights + way * step * axis).value for axis in np.eye(6)]
        for way in (1.0, -1.0)
    )
    expected = (np.array(ahead) - np.array(behind)) / (2.0 * step)
    assert grouped_slope(problem, GROUPS, weights).gradient == pytest.approx(expected, abs=1e-8)


def test_a_scale_of_all_weights_or_a_group_of_one_member_makes_no_difference_of_its_own(
    problem_of: tuple[World, Problem],
) -> None:
    _, problem = problem_of
    at = grouped_slope(problem, GROUPS, some_weights())
    assert grouped_slope(problem, GROUPS, 7.0 * some_weights()).value == pytest.approx(at.value)
    assert at.gradient @ some_weights() == pytest.approx(0.0, abs=1e-12)


def test_an_ascent_ends_where_no_weight_leads_higher(problem_of: tuple[World, Problem]) -> None:
    _, problem = problem_of
    columns = np.array([True, True, True, True, True, False])
    start = some_weights() * columns
    found = ascend_grouped(problem, GROUPS, start, columns)
    assert found.weights[5] == 0.0
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.value > grouped_slope(problem, GROUPS, start).value
    gradient = grouped_slope(problem, GROUPS, found.weights).gradient[:5]
    assert gradient.max() < 1e-4
    assert np.abs(gradient[found.weights[:5] > 1e-6]).max() < 1e-4
