"""A problem cut from another's blocks: the score of its own rows, and nothing of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembler.blending import problem as problems
from ensembler.blending.objective import row_cosines, scores
from ensembler.blending.part import Part, PartialProblem
from ensembler.blending.problem import Problem, Selection
from ensembler.blending.solver import TIE, solve

if TYPE_CHECKING:
    from tests.blending.conftest import Vector, World

ALPHAS = [0.0, 1.0, 0.5]
PROMISE = 1e-6


def cut(whole: Problem, mine: Problem) -> PartialProblem:
    return PartialProblem(part=Part(selection=mine.selection, whole=whole.selection), whole=whole)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from(["unit", "spread", "tiny", "huge", "mixed"]),
    missing=st.sampled_from([0.0, 0.4]),
    held_out=st.integers(0, 3),
    centred=st.booleans(),
)
def test_every_row_of_a_part_scores_as_the_oracle_says(
    make_world: Callable[..., World],
    oracle_cosines: Callable[..., Vector],
    seed: int,
    scale: str,
    missing: float,
    held_out: int,
    centred: bool,
) -> None:
    world = make_world(seed, scale=scale, missing=missing, weighted=True)
    rows = np.flatnonzero(world.fold != held_out)
    mine = world.problem(ALPHAS, centred=centred, held_out=held_out, rows=rows)
    part = cut(world.problem(ALPHAS, centred=centred), mine)
    weights = np.random.default_rng(seed).dirichlet(np.ones(4)) / part.scale
    found = row_cosines(part, weights * part.scale)
    expected = oracle_cosines(mine, world, weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=PROMISE)
    mean = np.average(expected, weights=world.weight[rows])
    assert scores(part, (weights * part.scale)[None])[0] == pytest.approx(mean, rel=0, abs=PROMISE)


def test_a_part_and_a_problem_made_for_its_rows_have_the_same_maximum(
    make_world: Callable[..., World],
) -> None:
    world = make_world(3, rows=60, missing=0.2)
    for held_out in range(4):
        rows = np.flatnonzero(world.fold != held_out)
        mine = world.problem(ALPHAS, centred=True, held_out=held_out, rows=rows)
        part = cut(world.problem(ALPHAS, centred=True), mine)
        one, other = (solve(each, np.ones(4, dtype=bool)) for each in (mine, part))
        assert other.value == pytest.approx(one.value, rel=0, abs=TIE)
        np.testing.assert_allclose(other.weights, one.weights, rtol=0, atol=1e-3)


def test_the_targets_of_a_fold_do_not_move_a_part_without_it(
    make_world: Callable[..., World],
) -> None:
    world = make_world(5, missing=0.2)
    aside = world.fold == 1
    targets = world.targets.copy()
    targets[aside] = np.random.default_rng(0).normal(size=targets[aside].shape)
    before, after = (
        cut(
            each.problem(ALPHAS, centred=True),
            each.problem(ALPHAS, centred=True, held_out=1, rows=np.flatnonzero(~aside)),
        )
        for each in (world, replace(world, targets=targets))
    )
    np.testing.assert_array_equal(before.scale, after.scale)
    for one, other in zip(before.blocks(), after.blocks(), strict=True):
        for array, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, same)


def test_blocks_without_any_row_of_a_part_are_left_out(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "BLOCK", 8)
    world = make_world(1)
    rows = np.r_[2:5, 16:24]
    mine = world.problem(ALPHAS, rows=rows)
    part = cut(world.problem(ALPHAS), mine)
    assert [block.gram.shape[1] for block in part.blocks()] == [3, 8]
    weights = np.full(4, 0.25)
    np.testing.assert_allclose(
        row_cosines(part, weights),
        row_cosines(mine, weights / part.scale * mine.scale),
        rtol=0,
        atol=PROMISE,
    )


def test_a_column_without_any_of_the_rows_is_not_covered(
    make_world: Callable[..., World],
) -> None:
    world = make_world(2)
    world.embeddings[1, :12] = 0.0
    statistics = world.statistics()
    for rows, covered in ((np.arange(12), False), (np.arange(13), True)):
        selection = Selection(statistics=statistics, rows=rows, held_out=None, centred=False)
        assert selection.covered.tolist() == [True, True, covered, True]
