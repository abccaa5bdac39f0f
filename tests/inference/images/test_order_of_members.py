"""What blends of some members are expected to score, and which member runs next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from ensembler.inference.order import Expectation, next_member
from ensembler.spec.model import Coreset
from ensembler.spec.numbers import decode_vector, encode_vector
from ensembler.spec.weighted import WeightedSpec

MakeWorld = Callable[..., Any]


def naive_score(blend: WeightedSpec, names: Sequence[str], coreset: Coreset) -> float:
    """The mean cosine over the coreset, row by row and pair by pair."""
    count = 1 + len(names)
    cosines = decode_vector(coreset.cosines).reshape(coreset.rows, -1)
    cross = decode_vector(coreset.cross).reshape(coreset.rows, count)
    lengths = decode_vector(coreset.lengths).reshape(coreset.rows, count)
    weight = decode_vector(coreset.weight)
    of = {member.name: member for member in blend.members}
    total = 0.0
    for row in range(coreset.rows):
        parts = [blend.prior.weight]
        for m, name in enumerate(names, start=1):
            length = float(lengths[row, m])
            parts.append(
                of[name].weight * length ** (1.0 - of[name].alpha) if name in of and length else 0.0
            )
        square, pair = sum(part**2 for part in parts), 0
        for j in range(count):
            for k in range(j + 1, count):
                square += 2.0 * parts[j] * parts[k] * float(cosines[row, pair])
                pair += 1
        along = sum(part * float(c) for part, c in zip(parts, cross[row], strict=True))
        alone = not any(parts[1:])
        total += float(weight[row]) * (float(cross[row, 0]) if alone else along / math.sqrt(square))
    return total / float(weight.sum())


@pytest.mark.parametrize("chosen", [("a", "b", "c"), ("a",), ("b", "c"), ()])
def test_the_expected_score_is_that_of_the_formula(
    make_world: MakeWorld, chosen: tuple[str, ...]
) -> None:
    spec = make_world({"a": {"noise": 0.1}, "b": {"noise": 0.3}, "c": {"noise": 0.5}}).spec
    lengths = decode_vector(spec.coreset.lengths).reshape(-1, 4).copy()
    lengths[::3, 2] = lengths[::5, 1:] = 0.0  # members lack rows, some rows have no member
    weight = np.random.default_rng(0).uniform(0.0, 2.0, len(lengths))
    coreset = spec.coreset.model_copy(
        update={"lengths": encode_vector(lengths), "weight": encode_vector(weight)}
    )
    expectation = Expectation(spec.model_copy(update={"coreset": coreset}))
    expected = naive_score(expectation.blend(chosen), "abc", coreset)
    assert expectation.score(chosen) == pytest.approx(expected, abs=1e-9)
    assert expectation.loss(chosen) == pytest.approx(expectation.score("abc") - expected, abs=1e-9)


def test_fewer_members_are_never_expected_to_score_more(make_world: MakeWorld) -> None:
    expectation = Expectation(make_world({name: {"noise": 0.4} for name in "abcd"}).spec)
    losses = [expectation.loss(names) for names in ("abcd", "abc", "ab", "a", "")]
    assert losses[0] == 0.0
    assert all(less <= more + 1e-8 for less, more in itertools.pairwise(losses))


def test_what_is_quicker_runs_first_of_equals_and_the_better_of_equally_quick(
    make_world: MakeWorld,
) -> None:
    expectation = Expectation(make_world({"good": {"noise": 0.1}, "bad": {"noise": 2.0}}).spec)
    assert next_member(expectation, [], {"good": 10.0, "bad": 10.0}) == "good"
    assert next_member(expectation, [], {"good": 1e6, "bad": 10.0}) == "bad"
    assert next_member(expectation, ["good"], {"bad": 10.0}) == "bad"


def test_a_twin_runs_after_what_adds_something_else(make_world: MakeWorld) -> None:
    spec = make_world({"a": {"noise": 0.2}, "twin": {"noise": 0.2}, "other": {"noise": 0.6}}).spec
    rows = spec.coreset.rows
    cosines = decode_vector(spec.coreset.cosines).reshape(rows, 6).copy()
    cross = decode_vector(spec.coreset.cross).reshape(rows, 4).copy()
    # pairs: prior-a, prior-twin, prior-other, a-twin, a-other, twin-other
    lengths = decode_vector(spec.coreset.lengths).reshape(rows, 4).copy()
    cosines[:, 1], cosines[:, 3], cosines[:, 5] = cosines[:, 0], 1.0, cosines[:, 4]
    cross[:, 2] = cross[:, 1]
    lengths[:, 1:3] = 1.0  # their norms differ
    arrays = {"cosines": cosines, "cross": cross, "lengths": lengths}
    coreset = spec.coreset.model_copy(update={k: encode_vector(a) for k, a in arrays.items()})
    expectation = Expectation(spec.model_copy(update={"coreset": coreset}))
    assert next_member(expectation, [], dict.fromkeys(("a", "twin", "other"), 1.0)) == "a"
    assert next_member(expectation, ["a"], dict.fromkeys(("twin", "other"), 1.0)) == "other"
