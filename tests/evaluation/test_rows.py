"""The worst and best rows, and what their predictions are nearest to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ensembler.blenders.data import Data
from ensembler.blenders.uniform import Uniform
from ensembler.evaluation.estimate import hold_out
from ensembler.evaluation.rows import describe, extremes
from ensembler.testing.worlds import UNCOVERED, World


def test_extremes_are_the_sorted_rows_that_count_with_ties_by_id() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.integers(0, 4, 20) / 4.0
    ids = np.array([f"s{n:02}" for n in rng.permutation(20)])
    weight = rng.integers(0, 2, 20).astype(np.float64)
    order = sorted((cosines[r], ids[r], r) for r in range(20) if weight[r] > 0.0)
    worst, best = extremes(cosines, ids, weight, 3)
    assert worst.tolist() == [r for _, _, r in order[:3]]
    assert best.tolist() == [r for _, _, r in reversed(order[-3:])]


def test_no_row_is_both_worst_and_best() -> None:
    ids = np.array([f"s{n}" for n in range(5)])
    worst, best = extremes(np.arange(5.0), ids, np.ones(5), 4)
    assert (worst.tolist(), best.tolist()) == ([0, 1, 2, 3], [4])


def test_the_nearest_target_of_another_group_is_found(data: Data, world: World) -> None:
    weight = np.zeros(len(world))
    weight[[7, UNCOVERED, 90]] = 1.0  # the rows that are told of
    told = replace(data, statistics=replace(data.statistics, weight=weight))
    held = hold_out(Uniform(), [told], seed=0, extremes=3)
    worst, best = describe(told, held.first, [one.extremes for one in held.outer[0]], 3)
    assert [row.cosine for row in worst] == sorted(held.first[weight > 0.0])
    assert best == ()
    places = [world.ids.index(row.id) for row in worst]
    targets = world.targets.astype(np.float64)
    for place, row in zip(places, worst, strict=True):
        fold = world.samples["fold"][place]
        prediction = np.zeros(targets.shape[1])
        for vectors in world.members.values():
            if vectors[place].any():
                prediction += vectors[place].astype(float) / np.linalg.norm(vectors[place])
        if not prediction.any():
            prediction = sum(targets[r] for r in range(96) if world.samples["fold"][r] != fold)
        prediction = prediction / np.linalg.norm(prediction)
        group = world.samples["group"][place]
        others = [r for r in range(96) if world.samples["group"][r] != group]
        cosines = {r: float(targets[r] @ prediction) for r in others}
        nearest = max(cosines, key=cosines.__getitem__)
        assert (row.id, row.group) == (world.ids[place], group)
        assert row.nearest.group == world.samples["group"][nearest]
        assert abs(row.nearest.cosine - cosines[nearest]) < 1e-6
        assert row.nearest.prompt is None


@pytest.mark.parametrize("count", [1, 3, 40])
def test_what_folds_tell_of_holds_the_extremes_of_all_rows(data: Data, count: int) -> None:
    held = hold_out(Uniform(), [data], seed=0, extremes=count)
    samples = data.store.samples
    worst, best = describe(data, held.first, [one.extremes for one in held.outer[0]], count)
    wanted = extremes(held.first, samples.id, data.statistics.weight, count)
    for rows, places in zip((worst, best), wanted, strict=True):
        assert [row.id for row in rows] == samples.id[places].tolist()
