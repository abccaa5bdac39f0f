"""The one-standard-error rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembler.evaluation.choice import SIMPLEST_FIRST, choice_held_out, choose, complexity
from ensembler.scoring.intervals import GroupBootstrap

ROWS = 60
GROUPS = np.array([f"g{row // 3}" for row in range(ROWS)])


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), spread=st.floats(0.001, 0.3))
def test_the_choice_is_the_first_in_simplicity_whose_lag_is_within_its_error(
    seed: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    names = list(rng.permutation(["uniform", "greedy", "weighted", "ridge"]))
    base = rng.normal(0.5, 0.1, ROWS)
    cosines = {name: base + rng.normal(0.0, spread, ROWS) + rng.normal(0, 0.01) for name in names}
    bootstrap = GroupBootstrap(GROUPS, np.ones(ROWS), 0)
    best = max(names, key=lambda name: float(cosines[name].mean()))
    for expected in ("uniform", "greedy", "weighted", "ridge"):  # the simplest first
        lag = cosines[best] - cosines[expected]
        if float(lag.mean()) <= bootstrap.standard_error(lag):
            break
    assert choose(cosines, {name: name for name in names}, bootstrap) == expected


def test_of_equally_simple_blends_the_better_is_chosen() -> None:
    worse = np.linspace(0.3, 0.5, ROWS)
    cosines = {"one.json": worse, "two.json": worse + 1e-6}
    bootstrap = GroupBootstrap(GROUPS, np.ones(ROWS), 0)
    assert choose(cosines, dict.fromkeys(cosines, "weighted"), bootstrap) == "two.json"


def test_no_row_has_a_part_in_the_choice_that_scores_it() -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, ROWS)
    group = np.arange(ROWS) // 3
    foldings = [group % 4, group // 5]
    base = rng.normal(0.5, 0.1, ROWS)
    cosines = {name: base + rng.normal(0.0, 0.1, ROWS) for name in ("uniform", "greedy", "ridge")}
    blenders = {name: name for name in cosines}
    found = choice_held_out(cosines, blenders, GROUPS, weight, foldings, 0)
    naive = np.zeros(ROWS)
    for folding in foldings:
        for row in range(ROWS):
            others = [r for r in range(ROWS) if folding[r] != folding[row]]
            bootstrap = GroupBootstrap(GROUPS[others], weight[others], 0)
            known = {name: values[others] for name, values in cosines.items()}
            naive[row] += cosines[choose(known, blenders, bootstrap)][row] / 2.0
    assert found == pytest.approx(naive, abs=1e-12)


def test_where_one_is_best_everywhere_the_choice_costs_nothing() -> None:
    best = np.linspace(0.3, 0.5, ROWS)
    cosines = {"ridge": best, "uniform": best - 0.1}
    blenders = {name: name for name in cosines}
    found = choice_held_out(cosines, blenders, GROUPS, np.ones(ROWS), [np.arange(ROWS) // 20], 0)
    assert found == pytest.approx(best)


@pytest.mark.parametrize(
    ("simple", "complex_"),
    [
        ("uniform", "weighted"),
        ("weighted", "weighted+gains"),
        ("weighted+gains", "weighted+gated+gains"),
        ("weighted:shrinkage=auto", "weighted+gated"),
        ("weighted+gated+gains+ridge", "nested(weighted, weighted+ridge)"),
        ("nested(greedy, weighted)", "strange"),
    ],
)
def test_chains_count_by_their_most_complex_part_and_strangers_come_last(
    simple: str, complex_: str
) -> None:
    assert complexity(simple) < complexity(complex_)


def test_every_registered_blender_has_its_place() -> None:
    from ensembler.blenders.registry import blender_names

    assert set(blender_names()) <= set(SIMPLEST_FIRST)
