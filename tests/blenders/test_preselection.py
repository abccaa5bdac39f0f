"""Forward selection against finite differences of the score over the problem of all members."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blenders.weights.preselection import forward_selection, forward_selections
from ensembler.blending.objective import scores
from ensembler.blending.pairs import KnownPairs
from ensembler.blending.solver import solve
from ensembler.store.reader import Store

Make = Callable[..., Any]
HELD: HeldFolds = frozenset({2})
MEMBERS, STEP = 7, 1e-4


@pytest.fixture(scope="module")
def store(generate: Make, write_store: Callable[..., Store]) -> Store:
    """Members of full coverage: one that covers a row first makes the score jump, not rise."""
    data = generate("noise", rows=120, members=MEMBERS)
    return write_store(data.targets, data.members, groups=data.groups)


def by_hand(data: Data, held_out: HeldFolds) -> Iterator[int]:
    """The members in the order they are taken, from scores over all columns alone."""
    definition, alphas = data.space.definition, (1.0,) * MEMBERS
    problem = training_problem(data, held_out, centred=data.space.centrings[-1], alphas=alphas)
    axes = np.eye(1 + MEMBERS)
    taken = np.array([definition.prior] + [False] * MEMBERS)
    rising, here = scores(problem, axes)[1:], None
    while rising.max() > 0.0:
        member = int(rising.argmax())
        yield member
        taken[1 + member] = True
        here = solve(problem, taken, bounds=definition.bounds, warm=here).scaled
        moved = np.stack([here + way * STEP * axis for axis in axes[1:] for way in (1.0, -1.0)])
        rising = np.subtract(*scores(problem, moved).reshape(MEMBERS, 2).T)
        rising = np.abs(rising) if definition.bounds == "free" else rising
        rising[taken[1:]] = 0.0


@pytest.mark.parametrize(
    "keys", [{}, {"prior": False, "centring": "off"}, {"bounds": "free"}], ids=str
)
def test_each_step_takes_the_member_along_which_the_score_rises_fastest(
    store: Store, prepare: Make, keys: dict[str, object]
) -> None:
    space, statistics = prepare(store, **keys)
    data = Data(store=store, statistics=statistics, space=space)
    for held_out in (NONE_HELD_OUT, HELD):
        path = by_hand(data, held_out)
        expected = set[int]()
        for limit in range(1, 5):
            expected.add(next(path))
            assert set(forward_selection(data, held_out, limit).tolist()) == expected


def test_selections_side_by_side_are_those_made_alone_and_tell_their_steps(
    store: Store, prepare: Make
) -> None:
    space, statistics = prepare(store)
    data = Data(store=store, statistics=statistics, space=space)
    steps, held_out = list[int](), [NONE_HELD_OUT, HELD, frozenset({0})]
    pairs = KnownPairs(statistics.geometry(True))
    found = forward_selections(data, held_out, 3, pairs, steps.append)
    for folds, members in zip(held_out, found, strict=True):
        assert np.array_equal(members, forward_selection(data, folds, 3))
    assert steps == [1, 2, 3]
