"""Groups whose weights are found together: what they score, and where they are worth it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.nested import Nested
from ensembler.blenders.nested_groups import FittedGroups
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.fitted import FittedWeights, training_problem
from ensembler.blending.grouped import grouped_slope
from ensembler.blending.solver import solve
from ensembler.metrics import unit_rows
from ensembler.store.reader import Store

Make = Callable[..., Any]
HELD: HeldFolds = frozenset({1})
GROUPED = Nested(groups=True)
ROWS, DIM = 240, 12
MARGIN = 0.002  # what the score must rise by to count


@pytest.fixture(scope="module")
def data(write_store: Make, prepare: Make) -> Data:
    """Two groups of two: each has a length that tells nothing, and their best members err alike."""
    rng = np.random.default_rng(0)
    targets = unit_rows(np.repeat(rng.normal(size=(ROWS // 4, DIM)), 4, axis=0))
    shared = rng.normal(size=(ROWS, DIM)) / np.sqrt(DIM)
    members = {}
    for group in "ab":
        length = rng.lognormal(sigma=2.0, size=(ROWS, 1))
        for number, noise in enumerate((1.3, 1.4)):
            own = rng.normal(size=(ROWS, DIM)) / np.sqrt(DIM)
            error = noise * (own if number else shared) + 0.1 * own
            trust = rng.uniform(0.1, 1.0, (ROWS, 1))
            vectors = length * trust * unit_rows(trust * targets + (1.1 - trust) * error)
            members[f"{group}{number}"] = vectors.astype(np.float32)
    groups = [f"g{row // 4:02}" for row in range(ROWS)]
    store = write_store(targets.astype(np.float32), members, groups=groups)
    space, statistics = prepare(store, trials=20)
    grouped = {"a": ("a0", "a1"), "b": ("b0", "b1")}
    return Data(store=store, statistics=statistics, space=replace(space, groups=grouped))


@pytest.fixture(scope="module")
def joint(data: Data) -> FittedGroups:
    fitted = GROUPED.fit(data, HELD, 0)
    assert isinstance(fitted, FittedGroups)
    return fitted


def test_vectors_score_what_the_ascent_says(data: Data, joint: FittedGroups) -> None:
    rows = data.training_rows(HELD)
    assert joint.cosines(data, rows, HELD).mean() == pytest.approx(joint.objective, abs=1e-6)
    assert joint.status == "CONVERGED"
    assert [name for name, _ in joint.blend.children] == ["a", "b"]


def test_it_scores_higher_than_weights_from_below_and_weights_without_groups(
    data: Data, joint: FittedGroups
) -> None:
    groups, centred, alphas = joint.structure
    problem = training_problem(data, HELD, centred=centred, alphas=alphas)
    first, second = (
        solve(problem, np.isin(np.arange(problem.columns), group)).scaled
        for group in groups.values()
    )
    prior = np.eye(problem.columns)[0]
    below = max(
        grouped_slope(
            problem, tuple(groups.values()), share * first + (1.0 - share) * second + more * prior
        ).value
        for share, more in product(np.linspace(0.0, 1.0, 21), (0.0, 0.05, 0.1, 0.2))
    )
    assert joint.objective > below + MARGIN
    assert joint.objective > Weighted().fit(data, HELD, 0).objective + MARGIN


def test_a_refit_finds_the_weights_again_and_those_of_other_folds(
    data: Data, joint: FittedGroups
) -> None:
    again = joint.refitted(data, HELD)
    assert again.objective == pytest.approx(joint.objective, abs=1e-7)
    assert again.structure == joint.structure
    inner = HELD | {2}
    other = joint.refitted(data, inner)
    rows = data.training_rows(inner)
    assert other.objective > joint.cosines(data, rows, inner).mean() - 1e-7
    assert not np.allclose(other.weights, joint.weights)


def test_where_groups_gain_nothing_the_blend_has_none(small: Store, prepare: Make) -> None:
    space, statistics = prepare(small, trials=12)
    groups = {"first": space.names[:2], "rest": space.names[2:]}
    plain = Data(store=small, statistics=statistics, space=replace(space, groups=groups))
    fitted = GROUPED.fit(plain, HELD, 0)
    assert isinstance(fitted, FittedWeights)
    assert fitted.weighting == Weighted().fit(plain, HELD, 0).weighting


def test_a_study_that_names_no_groups_has_members_for_groups(data: Data) -> None:
    each = {name: (name,) for name in data.names}
    fitted = GROUPED.fit(replace(data, space=replace(data.space, groups=each)), HELD, 0)
    unit = Weighted().fit(data, HELD, 0)
    assert fitted.objective >= unit.objective - 1e-8
