"""Weights solved again from the statistics of a few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ensembler.blending.objective import scores
from ensembler.blending.problem import columns_of
from ensembler.blending.resolve import resolve_weights
from ensembler.blending.solver import solve

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World

ALPHAS = np.array([0.0, 1.0, 0.0, 0.5])
EVERY = np.ones(4, dtype=bool)


def kept(world: World, centred: bool, dtype: str = "float32") -> dict[str, Any]:
    """What a spec keeps of all rows."""
    rows = np.arange(len(world.fold))
    statistics = world.statistics(precision="float64")
    columns = columns_of(statistics, rows, None, centred=centred)
    by_row = {name: array.T for name, array in columns._asdict().items()}
    arrays = {**by_row, "weight": world.weight, "alphas": ALPHAS}
    return {k: v if k == "alphas" else np.asarray(v, dtype=dtype) for k, v in arrays.items()}


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_weights_from_the_coreset_are_the_solvers_on_the_same_rows(
    make_world: Callable[..., World], free: bool, centred: bool, missing: float
) -> None:
    world = make_world(1, rows=40, missing=missing, weighted=True, scale="spread")
    problem = world.problem(ALPHAS[1:], centred=centred, precision="float64")
    bounds = "free" if free else "simplex"
    for keep in (EVERY, np.array([True, False, True, True]), np.array([False, True, False, True])):
        expected = solve(problem, keep, bounds=bounds)  # type: ignore[arg-type]  # a literal
        weights = resolve_weights(**kept(world, centred), keep=keep, free=free)
        value = scores(problem, (weights * problem.scale)[None, :])[0]
        assert value == pytest.approx(expected.value, rel=0, abs=1e-7)
        np.testing.assert_allclose(weights, expected.weights, rtol=0, atol=1e-3)
        assert (weights[~keep] == 0.0).all()


def test_one_column_left_takes_all(make_world: Callable[..., World]) -> None:
    arrays = kept(make_world(2), centred=False)
    for column in range(4):
        alone = np.eye(4, dtype=bool)[column]
        assert resolve_weights(**arrays, keep=alone, free=False).tolist() == alone.tolist()


def test_nothing_left_is_refused(make_world: Callable[..., World]) -> None:
    arrays = kept(make_world(3), centred=False)
    with pytest.raises(ValueError, match="at least one column"):
        resolve_weights(**arrays, keep=~EVERY, free=False)


def test_a_column_without_a_row_in_the_coreset_keeps_the_answer_finite(
    make_world: Callable[..., World],
) -> None:
    world = make_world(4)
    world.embeddings[1, 1:] = 0.0
    arrays: dict[str, Vector] = {
        name: value if name == "alphas" else value[1:]
        for name, value in kept(world, centred=False).items()
    }
    weights = resolve_weights(**arrays, keep=EVERY, free=False)  # type: ignore[arg-type]  # float32
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1.0)
