"""Honest estimates: nothing that scores a row knows its fold, for any number of jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.fixed import Fixed
from ensembler.blenders.registry import blender_names, parse_blender
from ensembler.evaluation.contestants import CHAINS
from ensembler.evaluation.estimate import estimate, hold_out, plain_weights
from ensembler.evaluation.ground import Ground
from ensembler.metrics import paired_cosine
from ensembler.testing.worlds import UNCOVERED, World

MakeData = Callable[[World], Data]
Predicted = Callable[[Data, Blender], NDArray[np.float64]]

GIVEN = {"fixed": Fixed(weights={"m1": 0.8, "prior": 0.2})}  # what has no default
OWN = UNCOVERED // 4 % 4  # the fold of the row that every blend gives the prior
SAME = 1e-6


@pytest.fixture(scope="module", params=(*blender_names(), *CHAINS))
def blender(request: pytest.FixtureRequest) -> Blender:
    """Whoever registers comes in by itself."""
    return GIVEN.get(request.param) or parse_blender(request.param)


@pytest.fixture(scope="module")
def lied_to(make_data: MakeData, world: World) -> Data:
    """The world with other targets in one fold."""
    targets = world.targets.copy()
    here = np.array([fold == str(OWN) for fold in world.samples["fold"]])
    targets[here] = -targets[here][::-1]
    return make_data(replace(world, targets=targets))


def test_the_targets_of_a_fold_change_no_prediction_of_its_rows(
    blender: Blender, data: Data, lied_to: Data, predicted: Predicted
) -> None:
    own = data.fold_rows(OWN)
    assert UNCOVERED in own  # the prior is held to it too
    honest, told_lies = (predicted(d, blender)[own] for d in (data, lied_to))
    assert np.abs(told_lies - honest).max() <= SAME
    moved = np.abs(lied_to.priors(NONE_HELD_OUT) - data.priors(NONE_HELD_OUT)).max(axis=1)
    assert (moved > SAME).tolist() == [fold != OWN for fold in range(4)]  # others hear the lie


def test_a_source_without_weight_changes_no_fit(
    blender: Blender, data: Data, make_data: MakeData, world: World, predicted: Predicted
) -> None:
    left_out = np.array([source == "painted" for source in world.samples["source"]])
    targets, rng = world.targets.copy(), np.random.default_rng(1)
    targets[left_out] = -targets[left_out][::-1]
    members = {name: vectors.copy() for name, vectors in world.members.items()}
    for vectors in members.values():
        vectors[left_out] *= rng.normal(1.0, 3.0, vectors[left_out].shape).astype(np.float32)
    changed = make_data(replace(world, targets=targets, members=members))
    rows = np.flatnonzero(~left_out)
    found = []
    for one in (data, changed):
        ground = Ground(
            store=one.store,
            foldings=[one.statistics.fold],
            weight=one.store.samples.weight,
            corpus=one.corpus,
            jobs=1,
        )
        others = ground.under((~left_out).astype(np.float64), "of the other source")
        (under,) = others.repeats(one.space)
        found.append(predicted(under, blender)[rows])
    assert np.abs(found[0] - found[1]).max() <= SAME


@pytest.mark.parametrize("name", ["weighted", "gated+ridge"])
def test_any_number_of_jobs_gives_the_same_bytes(name: str, data: Data, world: World) -> None:
    blender, repeats = parse_blender(name), _twice(data, world)
    one, *more = (hold_out(blender, repeats, 0, jobs=jobs) for jobs in (1, 2, 4))
    for held in more:
        assert held.cosines.tobytes() == one.cosines.tobytes()


def test_cosines_are_the_means_over_the_repeats_of_vectors_held_out(
    data: Data, world: World, predicted: Predicted
) -> None:
    repeats, weighted = _twice(data, world), parse_blender("weighted")
    found = estimate(weighted, repeats, 0)
    each = [paired_cosine(predicted(one, weighted), world.targets) for one in repeats]
    assert np.abs(found.cosines - np.mean(each, axis=0)).max() < 2e-6
    assert np.abs(found.first - each[0]).max() < 2e-6
    assert found.blender == "weighted"
    assert set(found.fitted.members) <= set(world.members)


def test_only_plain_weights_have_a_weighting(data: Data) -> None:
    with pytest.raises(TypeError, match="gains is more than weights"):
        plain_weights(estimate(parse_blender("gains"), [data], 0))


def _twice(data: Data, world: World) -> list[Data]:
    """The world under its own folds, and under others."""
    other = np.array([int(group[1:]) // 6 for group in world.samples["group"]])
    ground = Ground(
        store=data.store,
        foldings=[data.statistics.fold, other],
        weight=data.store.samples.weight,
        corpus=data.corpus,
        jobs=1,
    )
    return ground.repeats(data.space)
