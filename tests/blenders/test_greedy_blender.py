"""The greedy blender: Caruana's rounds by hand, bags drawn by name, the best round kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.greedy import Greedy
from ensembler.blenders.single_best import SingleBest
from ensembler.blenders.weights.fitted import training_problem
from ensembler.blending.greedy import greedy_selection
from ensembler.blending.objective import scores
from ensembler.blending.statistics import Statistics
from ensembler.errors import InputError
from ensembler.search.space import Space
from ensembler.store.reader import Store
from ensembler.testing.worlds import make_world

HELD: HeldFolds = frozenset({1})
Prepare = Callable[..., tuple[Space, Statistics]]


@pytest.fixture(scope="module")
def data(small: Store, prepare: Prepare) -> Data:
    """Four members of partial coverage; those at unit length alone, never centred."""
    space, statistics = prepare(small, centring="off")
    return Data(store=small, statistics=statistics, space=space)


def unit_columns(
    data: Data, held_out: HeldFolds
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """The prior and the members at unit length on the training rows, and the targets."""
    rows = data.training_rows(held_out)
    columns = [data.priors(held_out)[data.statistics.fold[rows]]]
    for name in data.names:
        own = data.store.member(name).block(0, len(data.statistics))[rows].astype(np.float64)
        length = np.linalg.norm(own, axis=1, keepdims=True)
        columns.append(own / np.where(length > 0.0, length, 1.0))
    return columns, data.targets(rows)


def naive_score(
    columns: Sequence[NDArray[np.float64]], targets: NDArray[np.float64], taken: Sequence[int]
) -> float:
    """The mean cosine of the sum of the columns taken; the prior where no member is among them."""
    total = sum((columns[k] for k in taken), start=np.zeros_like(targets))
    covered = sum((np.abs(columns[k]).sum(axis=1) for k in taken if k), start=np.zeros(len(total)))
    total = np.where(covered[:, None] > 0.0, total, columns[0])
    return float(np.mean((total * targets).sum(axis=1) / np.linalg.norm(total, axis=1)))


def naive_greedy(columns: list[NDArray[np.float64]], targets: NDArray[np.float64]) -> list[int]:
    """The columns taken: the best first few, then round by round, up to the best round."""
    order = sorted(range(len(columns)), key=lambda k: -naive_score(columns, targets, [k]))
    starts = [order[: n + 1] for n in range(len(order))]
    best = taken = max(starts, key=lambda some: naive_score(columns, targets, some))
    for _ in range(50):
        steps = [[*taken, k] for k in range(len(columns))]
        taken = max(steps, key=lambda some: naive_score(columns, targets, some))
        if naive_score(columns, targets, taken) > naive_score(columns, targets, best):
            best = taken
    return best


@pytest.mark.parametrize("held_out", [NONE_HELD_OUT, HELD])
def test_one_bag_of_all_takes_what_rounds_by_hand_take(data: Data, held_out: HeldFolds) -> None:
    columns, targets = unit_columns(data, held_out)
    taken = np.bincount(naive_greedy(columns, targets), minlength=len(columns))
    fitted = Greedy(bags=1, share=1.0).fit(data, held_out, 0)
    assert fitted.weighting.weights == pytest.approx(taken / taken.sum())


def test_several_bags_average_selections_from_parts_of_the_members(data: Data) -> None:
    problem = training_problem(data, HELD, centred=False, alphas=(1.0,) * 4)
    pairs = [
        np.array([True, *(name in pair for name in data.names)])
        for pair in (("m0", "m1"), ("m0", "m2"), ("m0", "m3"), ("m1", "m2"), ("m1", "m3"),
                     ("m2", "m3"))
    ]  # fmt: skip
    possible = []
    for pair in pairs:
        alone = np.eye(5)[pair]
        ranked = alone[np.argsort(-scores(problem, alone), kind="stable")]
        firsts = np.cumsum(ranked, axis=0)
        start = firsts[int(scores(problem, firsts).argmax())]
        possible.append(greedy_selection(problem, pair, start))
    found = np.array(Greedy(bags=1, share=0.5).fit(data, HELD, 0).weighting.weights)
    assert any(np.allclose(found, weights) for weights in possible)
    many = np.array(Greedy(bags=40, share=0.5).fit(data, HELD, 0).weighting.weights)
    mixture, *_ = np.linalg.lstsq(np.array(possible).T, many, rcond=None)
    assert np.array(possible).T @ mixture == pytest.approx(many)


def test_a_selection_ends_no_lower_than_it_starts(data: Data) -> None:
    problem = training_problem(data, NONE_HELD_OUT, centred=False, alphas=(1.0,) * 4)
    rng = np.random.default_rng(0)
    for _ in range(10):
        start = rng.integers(0, 3, 5) + np.eye(5)[1]
        found = greedy_selection(problem, np.ones(5, dtype=bool), start)
        before, after = scores(problem, np.stack([start, found]))
        assert after >= before


def test_another_seed_draws_other_members(data: Data) -> None:
    blender = Greedy(bags=2, share=0.5)
    drawn = {blender.fit(data, NONE_HELD_OUT, seed).weighting.weights for seed in range(6)}
    assert len(drawn) > 1
    assert (
        blender.fit(data, NONE_HELD_OUT, 0).weighting
        == blender.fit(data, NONE_HELD_OUT, 0).weighting
    )


def test_the_centring_under_which_all_members_score_higher_is_taken(
    small: Store, prepare: Prepare
) -> None:
    def fitted(centring: str) -> float:
        space, statistics = prepare(small, centring=centring)
        data = Data(store=small, statistics=statistics, space=space)
        return Greedy(bags=1, share=1.0).fit(data, NONE_HELD_OUT, 0).objective

    assert fitted("both") == max(fitted("on"), fitted("off"))


def test_near_ties_go_by_name_in_whatever_order_members_stand(tmp_path: Path) -> None:
    """Members that differ in length score the same up to the last digit of a float32."""
    world = make_world()
    m0, m3 = world.members["m0"], world.members["m3"]
    twins = {"b": m0 * np.float32(0.7), "c": m3, "a": m0, "d": m0 * np.float32(1.3)}
    found = []
    for order in permutations(twins):
        folder = tmp_path / "".join(order)
        folder.mkdir()
        data = world.with_members({name: twins[name] for name in order}).data(folder)
        single, greedy = SingleBest().fit(data, HELD, 0), Greedy().fit(data, HELD, 0)
        assert single.blend.members == ("a",)
        found.append(dict(zip(data.names, greedy.weighting.weights[1:], strict=True)))
    assert all(weights == pytest.approx(found[0]) for weights in found)
    assert found[0]["a"] > max(found[0]["b"], found[0]["d"])


@pytest.mark.parametrize("options", [{"bags": 0}, {"share": 0.0}, {"share": 1.5}])
def test_greedy_refuses_bags_that_draw_nothing(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="give one bag or more"):
        Greedy(**options)  # type: ignore[arg-type] # one of them at a time
