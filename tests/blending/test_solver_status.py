"""Each way a solution can end, and that its status says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blending import solver
from ensembler.blending.objective import Expansion, expand
from ensembler.blending.problem import Block, Rows, make_block
from ensembler.blending.solver import Bounds, Status, solve

if TYPE_CHECKING:
    from tests.blending.conftest import World

ALL = np.ones(4, dtype=bool)


@dataclass(frozen=True)
class OneBlock:
    """Rows given by their statistics."""

    block: Block

    @property
    def columns(self) -> int:
        return len(self.block.lengths)

    @property
    def scale(self) -> NDArray[np.float64]:
        return np.ones(self.columns)

    def blocks(self) -> Iterator[Block]:
        return iter((self.block,))


def rows_of(cross: NDArray[np.float64], lengths: NDArray[np.float64]) -> OneBlock:
    """Rows whose columns are orthogonal."""
    rows, columns = lengths.shape
    return OneBlock(
        make_block(
            np.zeros((columns * (columns - 1) // 2, rows)),
            cross.T,
            lengths.T,
            fallback=cross[:, 0],
            share=np.full(rows, 1.0 / rows),
        )
    )


def test_a_smooth_problem_converges(make_world: Callable[..., World]) -> None:
    solution = solve(make_world(1).problem(), ALL)
    assert solution.status is Status.CONVERGED
    assert solution.evaluations > 3


@pytest.mark.parametrize("bounds", ["simplex", "nonnegative", "free"])
def test_statistics_that_are_not_finite_are_reported(bounds: Bounds) -> None:
    problem = rows_of(np.full((5, 4), np.nan), np.ones((5, 4)))
    assert solve(problem, ALL, bounds=bounds).status is Status.NON_FINITE


def test_too_few_steps_are_reported(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "MAX_STEPS", 1)
    solution = solve(make_world(1).problem(centred=True), ALL)
    assert solution.status is Status.MAX_ITERATIONS


def test_a_promise_that_no_step_keeps_is_reported(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(problem: Rows, weights: NDArray[np.float64]) -> Expansion:
        at = expand(problem, weights)
        return at._replace(gradient=-at.gradient)

    monkeypatch.setattr(solver, "expand", turned)
    solution = solve(make_world(1).problem(centred=True), ALL)
    assert solution.status is Status.DID_NOT_MOVE


def test_every_status_has_its_sentence() -> None:
    assert all(len(status.value.split()) > 4 for status in Status)
    assert len({status.value for status in Status}) == len(Status) == 4


@pytest.mark.parametrize("bounds", ["simplex", "nonnegative", "free"])
def test_members_that_cover_no_row_leave_the_priors_score(bounds: Bounds) -> None:
    lengths = np.zeros((5, 4))
    lengths[:, 0] = 1.0
    cross = np.zeros((5, 4))
    cross[:, 0] = 0.25
    solution = solve(rows_of(cross, lengths), ALL, bounds=bounds)
    assert solution.status is Status.CONVERGED
    assert solution.value == pytest.approx(0.25, abs=1e-15)
    assert np.isfinite(solution.weights).all()


@pytest.mark.parametrize("bounds", ["simplex", "nonnegative", "free"])
def test_columns_that_all_point_away_still_give_the_best_of_them(bounds: Bounds) -> None:
    cross = np.tile([-0.1, -0.4, -0.2, -0.3], (5, 1))
    solution = solve(rows_of(cross, np.ones((5, 4))), ALL, bounds=bounds)
    assert np.isfinite(solution.weights).all()
    if bounds == "free":
        assert solution.value == pytest.approx(np.linalg.norm(cross[0]), abs=1e-9)
    else:
        assert solution.weights.tolist() == [1.0, 0.0, 0.0, 0.0]
