"""Rules of thumb give a member the same weight wherever it stands in the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from ensembler.search.candidate import Candidate, Rule
from ensembler.search.scoring import Scorer

Make = Callable[..., Any]

# Four members, each stored twice: a0 and b0 hold the same vectors.
ORDERS = (
    ("a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"),
    ("b3", "b2", "b1", "b0", "a3", "a2", "a1", "a0"),
    ("b1", "a3", "b0", "a1", "b2", "a0", "a2", "b3"),
)


class Ordered(NamedTuple):
    """One order of the members, ready to be scored."""

    names: tuple[str, ...]
    scorer: Scorer


@pytest.fixture(scope="module")
def ordered(generate: Make, write_store: Make, prepare: Make) -> list[Ordered]:
    data = generate("partial", rows=120, members=4)
    vectors = list(data.members.values())
    found = []
    for order in ORDERS:
        members = {name: vectors[int(name[1])] for name in order}
        space, statistics = prepare(write_store(data.targets, members, groups=data.groups))
        rows = np.arange(len(statistics))
        scorer = Scorer(statistics, rows, None, columns=space.columns, bounds="simplex", seed=0)
        found.append(Ordered(space.names, scorer))
    return found


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("rule", ["greedy", "single_best"])
def test_duplicates_in_any_order_get_the_weights_of_their_names(
    ordered: list[Ordered], rule: Rule, centred: bool
) -> None:
    candidate = Candidate(centred=centred, alphas=(1.0,) * 8, rule=rule)
    first, *others = (
        dict(zip(names, scorer.score([candidate])[0].weighting.weights[1:], strict=True))
        for names, scorer in ordered
    )
    assert {name[0] for name, weight in first.items() if weight} == {"a"}
    for other in others:
        assert other == pytest.approx(first)
    assert {names for names, _ in ordered} == set(ORDERS)
