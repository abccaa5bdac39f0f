"""Paths of fewer and of more members, against brute force and naive float64 scores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blending.problem import Problem
from ensembler.blending.solver import solve
from ensembler.evaluation.contributing import error_correlations
from ensembler.evaluation.estimate import Estimate, estimate, plain_weights
from ensembler.evaluation.paths import Walker, drop_weakest, take_strongest, walk
from ensembler.testing.worlds import World

TIE = 1e-6
EVERY = np.ones(5, dtype=bool)


@pytest.fixture(scope="module")
def weighted(data: Data) -> Estimate:
    return estimate(Weighted(), [data], 0)


@pytest.fixture(scope="module")
def problem(data: Data, weighted: Estimate) -> Problem:
    on_all = plain_weights(weighted).on_all
    return training_problem(data, NONE_HELD_OUT, centred=on_all.centred, alphas=on_all.alphas)


def _best_of(problem: Problem, size: int, within: frozenset[int] = frozenset(range(4))) -> float:
    """The best score of so many members, by solving for each subset from all starts."""
    found = []
    for members in combinations(sorted(within), size):
        columns = np.array([True, *(m in members for m in range(4))])
        found.append(solve(problem, columns, bounds="simplex").value)
    return max(found)


def test_each_step_down_drops_the_member_whose_absence_costs_least(problem: Problem) -> None:
    left = frozenset(range(4))
    path = drop_weakest(problem, EVERY, "simplex")
    assert [stage.members for stage in path] == [4, 3, 2, 1]
    assert path[0].solution.value == pytest.approx(_best_of(problem, 4), abs=TIE)
    for stage in path[1:]:
        expected = _best_of(problem, stage.members, left)
        assert stage.solution.value == pytest.approx(expected, abs=TIE)
        assert stage.member is not None
        left -= {stage.member}
        assert stage.solution.weights[[1 + m for m in range(4) if m not in left]].sum() == 0.0


def test_each_step_up_takes_the_member_that_adds_most(problem: Problem) -> None:
    path = take_strongest(problem, EVERY, "simplex")
    taken: frozenset[int] = frozenset()
    assert [stage.members for stage in path] == [1, 2, 3, 4]
    for stage in path:
        expected = max(
            _best_of(problem, stage.members, taken | {m}) for m in range(4) if m not in taken
        )
        assert stage.solution.value == pytest.approx(expected, abs=TIE)
        assert stage.member is not None
        taken |= {stage.member}
    assert path[-1].solution.value == pytest.approx(_best_of(problem, 4), abs=TIE)


@pytest.mark.parametrize("walker", [drop_weakest, take_strongest])
def test_no_step_is_better_than_the_best_subset_of_its_size(
    problem: Problem, walker: Walker
) -> None:
    values = {s.members: s.solution.value for s in walker(problem, EVERY, "simplex")}
    assert all(value <= _best_of(problem, size) + TIE for size, value in values.items())
    assert all(values[size] <= values[size + 1] + TIE for size in (1, 2, 3))


@pytest.mark.parametrize("walker", [drop_weakest, take_strongest])
def test_a_step_scores_what_naive_loops_over_the_folds_say(
    walker: Walker,
    data: Data,
    world: World,
    weighted: Estimate,
    naive_cosines: Callable[..., NDArray[np.float64]],
) -> None:
    weights = plain_weights(weighted)
    steps = walk(walker, data, weights, 0)
    fold = np.array([int(f) for f in world.samples["fold"]])
    targets = world.targets.astype(np.float64)
    members = list(world.members.values())
    means = [vectors[vectors.any(axis=1)].astype(np.float64).mean(axis=0) for vectors in members]
    scored = np.zeros((4, len(world)))
    for k, weighting in enumerate(weights.without):
        problem = training_problem(
            data, frozenset({k}), centred=weighting.centred, alphas=weighting.alphas
        )
        prior = targets[fold != k].sum(axis=0)
        rows = np.flatnonzero(fold == k)
        for step, stage in enumerate(walker(problem, EVERY, "simplex")):
            scored[step, rows] = naive_cosines(
                [vectors[rows] for vectors in members],
                targets[rows],
                np.tile(prior / np.linalg.norm(prior), (len(rows), 1)),
                weights=stage.solution.weights,
                alphas=weighting.alphas,
                means=means if weighting.centred else None,
            )
    for found, cosines in zip(steps, scored, strict=True):
        assert found.held_out.score == pytest.approx(cosines.mean(), abs=1e-6)
        best = scored[scored.mean(axis=1).argmax()]
        assert found.held_out.behind == pytest.approx((best - cosines).mean(), abs=1e-6)


@pytest.mark.parametrize("walker", [drop_weakest, take_strongest])
def test_all_members_score_what_the_blend_does_where_one_has_the_rows_of_a_fold_alone(
    walker: Walker, make_data: Callable[[World], Data], world: World
) -> None:
    held = np.array([fold == "0" for fold in world.samples["fold"]])[:, None]
    lonely = np.where(held, world.members["m1"], 0.0).astype(np.float32)
    data = make_data(world.with_members({**world.members, "m1": lonely}))
    weighted = estimate(Weighted(), [data], 0)
    steps = walk(walker, data, plain_weights(weighted), 0)
    assert sorted(step.members for step in steps) == [1, 2, 3, 4]
    (whole,) = (step for step in steps if step.members == 4)
    assert whole.held_out.score == pytest.approx(weighted.cosines.mean(), abs=1e-6)


@pytest.mark.parametrize("walker", [drop_weakest, take_strongest])
def test_a_member_without_a_row_counts_and_gets_no_weight(
    walker: Walker, make_data: Callable[[World], Data], world: World
) -> None:
    empty = np.where(np.arange(len(world))[:, None] < 4, world.members["m1"], 0.0)
    data = make_data(world.with_members({**world.members, "m1": empty.astype(np.float32)}))
    fold = int(world.samples["fold"][0])  # of the group that has the first four rows
    problem = training_problem(data, frozenset({fold}), centred=False, alphas=(1.0,) * 4)
    for columns in (EVERY, EVERY & (np.arange(5) > 0)):
        path = walker(problem, columns, "simplex")
        assert sorted(stage.members for stage in path) == [1, 2, 3, 4]
        lonely = np.array([stage.solution.weights[2] for stage in path])
        assert (lonely == 0.0).all()


def test_correlations_of_errors_are_pearsons_over_the_rows_of_both(
    data: Data, world: World
) -> None:
    table = error_correlations(data.statistics)
    here = [r for r in range(len(world)) if world.members["m2"][r].any()]
    errors = {}
    for name in ("m0", "m2"):
        vectors = world.members[name][here].astype(np.float64)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        errors[name] = 1.0 - (unit * world.targets[here]).sum(axis=1)
    first, second = (errors[name] - errors[name].mean() for name in ("m0", "m2"))
    naive = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    assert table["m0"]["m2"] == pytest.approx(naive, abs=1e-4)
    assert table["m2"]["m0"] == pytest.approx(naive, abs=1e-4)
