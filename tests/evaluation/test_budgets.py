"""Members for their seconds: the front against brute force, and the blend that keeps a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.registry import parse_blender
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.budget import seconds_per_image
from ensembler.blenders.weights.fitted import training_problem, weighted_blend
from ensembler.blending.problem import Problem
from ensembler.blending.solver import solve
from ensembler.blending.weighting import Weighting
from ensembler.errors import InputError
from ensembler.evaluation.budgets import budgets
from ensembler.evaluation.estimate import estimate, plain_weights
from ensembler.search import pareto
from ensembler.search.pareto import Subset, pareto_front, within
from ensembler.testing.worlds import World, make_world

MakeData = Callable[[World], Data]
Numbers = NDArray[np.float64]

HELD = frozenset({1})
TIE = 1e-6


def _problem(data: Data) -> Problem:
    return training_problem(data, HELD, centred=True, alphas=(1.0,) * len(data.names))


def _brute_force(problem: Problem, seconds: Numbers) -> list[tuple[float, float]]:
    """(seconds, score) of every subset, solved from all starts."""
    count = len(seconds)
    every = chain.from_iterable(combinations(range(count), k) for k in range(1, count + 1))
    found = []
    for members in every:
        columns = np.array([True, *(m in members for m in range(count))])
        value = solve(problem, columns, bounds="simplex").value
        found.append((float(seconds[list(members)].sum()), value))
    return found


def _best_within(tried: list[tuple[float, float]], budget: float) -> float:
    return max(value for seconds, value in tried if seconds <= budget + 1e-9)


def _check_front(front: tuple[Subset, ...], seconds: Numbers) -> None:
    taken, values = [s.seconds for s in front], [s.solution.value for s in front]
    assert taken == sorted(set(taken))
    assert values == sorted(set(values))
    for subset in front:
        assert subset.seconds == pytest.approx(seconds[list(subset.members)].sum())
        assert set(np.flatnonzero(subset.solution.weights[1:])) <= set(subset.members)


def test_the_front_of_few_members_is_that_of_all_subsets(timed: Data) -> None:
    seconds = seconds_per_image(timed.store, timed.names)
    front = pareto_front(_problem(timed), np.ones(5, dtype=bool), seconds, bounds="simplex", seed=0)
    _check_front(front, seconds)
    tried = _brute_force(_problem(timed), seconds)
    for budget in np.linspace(0.05, 0.75, 15):
        found = within(front, float(budget))
        assert found.seconds <= budget + 1e-9
        assert found.solution.value == pytest.approx(_best_within(tried, float(budget)), abs=TIE)


def _many(count: int) -> World:
    """The world with more members: the same ones through other noise."""
    world, rng = make_world(), np.random.default_rng(5)
    members = {}
    for m in range(count):
        vectors = world.members[f"m{m % 4}"].astype(np.float64)
        noise = rng.normal(size=vectors.shape) * np.linalg.norm(vectors, axis=1, keepdims=True)
        members[f"m{m}"] = (vectors + 0.2 * noise).astype(np.float32)
    return world.with_members(members)


def test_a_searched_front_comes_near_that_of_all_subsets_and_repeats(make_data: MakeData) -> None:
    data = make_data(_many(8))
    seconds = np.random.default_rng(3).uniform(0.1, 1.0, 8)
    problem, columns = _problem(data), np.ones(9, dtype=bool)
    front = pareto_front(problem, columns, seconds, bounds="simplex", seed=1)
    _check_front(front, seconds)
    tried = _brute_force(problem, seconds)
    for budget in np.linspace(seconds.min(), seconds.sum(), 12):
        best = _best_within(tried, float(budget))
        assert best - 2e-3 <= within(front, float(budget)).solution.value <= best + TIE
    again = pareto_front(problem, columns, seconds, bounds="simplex", seed=1)
    assert [s.members for s in again] == [s.members for s in front]


def test_a_front_found_on_a_sample_is_solved_on_all_rows(
    timed: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pareto, "SAMPLE", 36)
    problem, seconds = _problem(timed), seconds_per_image(timed.store, timed.names)
    front = pareto_front(problem, np.ones(5, dtype=bool), seconds, bounds="simplex", seed=0)
    _check_front(front, seconds)
    tried = _brute_force(problem, seconds)
    for subset in front:
        columns = np.array([True, *(m in subset.members for m in range(4))])
        exact = solve(problem, columns, bounds="simplex").value
        assert subset.solution.value == pytest.approx(exact, abs=TIE)
        assert subset.solution.value >= _best_within(tried, subset.seconds) - 0.02


def test_members_that_no_row_has_are_chosen_only_where_there_are_no_others(timed: Data) -> None:
    seconds = seconds_per_image(timed.store, timed.names)
    whole = _problem(timed)
    selection = replace(whole.selection, rows=np.arange(0, 96, 3))  # m2 has none of them
    problem = Problem(selection=selection, alphas=whole.alphas)
    columns = np.ones(5, dtype=bool)
    front = pareto_front(problem, columns, seconds, bounds="simplex", seed=0)
    assert not any(2 in subset.members for subset in front)
    alone = np.array([True, False, False, True, False])
    (only,) = pareto_front(problem, alone, seconds, bounds="simplex", seed=0)
    assert (only.members, only.seconds) == ((2,), seconds[2])


@pytest.mark.parametrize("budget", [0.06, 0.2, 0.31, 0.5, 0.76])
def test_a_weighted_blend_keeps_its_budget_and_is_the_best_that_does(
    timed: Data, budget: float
) -> None:
    fitted = Weighted(budget=budget).fit(timed, HELD, 0)
    seconds = dict(zip(timed.names, seconds_per_image(timed.store, timed.names), strict=True))
    taken = sum(seconds[name] for name in fitted.blend.members)
    assert 0.0 < taken <= budget
    found = fitted.weighting
    problem = training_problem(timed, HELD, centred=found.centred, alphas=found.alphas)
    tried = _brute_force(problem, seconds_per_image(timed.store, timed.names))
    assert fitted.objective == pytest.approx(_best_within(tried, budget), abs=TIE)
    again = fitted.refitted(timed, HELD | {2})
    assert set(again.blend.members) <= set(fitted.blend.members)


def test_a_budget_for_all_changes_nothing(timed: Data) -> None:
    assert Weighted(budget=9.0).fit(timed, NONE_HELD_OUT, 0).objective == pytest.approx(
        Weighted().fit(timed, NONE_HELD_OUT, 0).objective, abs=TIE
    )


def test_a_budget_reads_back_from_its_name() -> None:
    assert parse_blender("weighted:budget=1.5") == Weighted(budget=1.5)
    assert Weighted(budget=1.5).name == "weighted:budget=1.5"


def test_a_budget_that_no_member_keeps_names_the_fastest(timed: Data) -> None:
    with pytest.raises(InputError, match=r"the fastest is 'm3' with 0\.05 s"):
        Weighted(budget=0.01).fit(timed, HELD, 0)


def test_a_member_without_seconds_is_named_with_the_remedy(data: Data) -> None:
    with pytest.raises(InputError, match="of member m0, m1, m2, m3; add it by `ensembler dump`"):
        Weighted(budget=1.0).fit(data, HELD, 0)


def test_budgets_are_scored_by_members_chosen_without_the_fold(timed: Data) -> None:
    weights = plain_weights(estimate(Weighted(), [timed], 0))
    found = budgets(timed, weights, 0)
    seconds = seconds_per_image(timed.store, timed.names)
    assert [b.seconds for b in found] == sorted(b.seconds for b in found)
    for budget in found:
        total = 0.0
        for fold, weighting in enumerate(weights.without):
            held_out = frozenset({fold})
            problem = training_problem(
                timed, held_out, centred=weighting.centred, alphas=weighting.alphas
            )
            tried = []
            for k in range(1, 5):
                for members in combinations(range(4), k):
                    columns = np.array([True, *(m in members for m in range(4))])
                    if seconds[list(members)].sum() <= budget.seconds + 1e-9:
                        tried.append(solve(problem, columns, bounds="simplex"))
            best = max(tried, key=lambda solution: solution.value)
            unseen = timed.fold_rows(fold)
            rows = _cosines(timed, weighting.centred, weighting.alphas, best.weights, unseen, fold)
            total += rows.sum()
        assert budget.held_out.score == pytest.approx(total / len(timed.statistics), abs=1e-4)


def _cosines(
    data: Data,
    centred: bool,
    alphas: tuple[float, ...],
    weights: Numbers,
    rows: NDArray[np.int64],
    fold: int,
) -> Numbers:
    weighting = Weighting(centred=centred, alphas=alphas, weights=tuple(weights.tolist()))
    return data.cosines(weighted_blend(data.statistics, weighting), rows, frozenset({fold}))
