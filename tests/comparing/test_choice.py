"""The one-standard-error rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembler.comparing.choice import SIMPLEST_FIRST, choose, complexity
from ensembler.evaluation.intervals import GroupBootstrap

ROWS = 60
GROUPS = np.array([f"g{row // 3}" for row in range(ROWS)])


@settings(max_examples=25, deadline=None)
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
