"""The worst and best rows, and what their predictions are nearest to."""

from __future__ import annotations

import numpy as np

from ensembler.blenders.data import Data
from ensembler.blenders.uniform import Uniform
from ensembler.comparing.estimate import hold_out
from ensembler.comparing.rows import describe, extremes
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
    held = hold_out(Uniform(), [data], seed=0)
    places = np.array([7, UNCOVERED, 90])
    rows = describe(data, held.blends[0], held.cosines, places)
    targets = world.targets.astype(np.float64)
    for place, row in zip(places.tolist(), rows, strict=True):
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
