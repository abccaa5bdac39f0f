"""Weights for the worst source: against a grid of all weights, and where there is no worst."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.data import NONE_HELD_OUT, Data
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.worst_source import WorstSource
from ensembler.blending.minimax import maximise_worst
from ensembler.blending.objective import expand
from ensembler.blending.solver import Status
from ensembler.blending.weighting import Weighting, weighting_problem
from ensembler.errors import StoreError
from ensembler.testing.worlds import make_world

SOURCES = ("drawn", "painted")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Three members; one is good at each source, and the first source has more rows."""
    world = make_world()
    rng = np.random.default_rng(6)
    drawn = np.arange(len(world)) % 4 != 0
    noise = rng.normal(size=(3, *world.targets.shape)) / 3.0
    size = np.stack(
        [np.where(drawn, 0.5, 2.0), np.where(drawn, 3.0, 0.5), np.full(len(drawn), 2.0)]
    )
    members = {
        f"m{m}": (world.targets + noise[m] * size[m][:, None]).astype(np.float32) for m in range(3)
    }
    source = [SOURCES[0] if first else SOURCES[1] for first in drawn]
    world = replace(world, samples={**world.samples, "source": source}, members=members)
    return world.data(tmp_path_factory.mktemp("sources"))


def by_source(data: Data, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    source = data.store.samples.source
    return np.array([cosines[source == name].mean() for name in SOURCES])


def naive_soft_minimum(means: NDArray[np.float64], tau: float) -> float:
    worst = means.min()  # taken out first: nothing underflows
    return float(worst - tau * np.log(np.mean([np.exp((worst - mean) / tau) for mean in means])))


@pytest.mark.parametrize(
    ("objective", "tau"), [("worst_source", 1e-4), ("soft_worst_source", 1e-2)]
)
def test_no_weights_of_a_grid_do_better_on_the_worst_source(
    objective: WorstSource, tau: float, data: Data
) -> None:
    rows = np.arange(len(data.statistics))
    fitted = Weighted(objective=objective).fit(data, NONE_HELD_OUT, 0)
    found = naive_soft_minimum(by_source(data, fitted.cosines(data, rows, NONE_HELD_OUT)), tau)
    members = [
        data.store.member(name).block(0, len(rows)).astype(np.float64) for name in data.names
    ]
    if fitted.weighting.centred:
        members = [own - mean for own, mean in zip(members, data.statistics.means, strict=True)]
    members = [
        own * np.linalg.norm(own, axis=1, keepdims=True) ** -alpha
        for own, alpha in zip(members, fitted.weighting.alphas, strict=True)
    ]
    columns = [data.priors(NONE_HELD_OUT)[data.statistics.fold], *members]
    targets = data.targets(rows)
    rng = np.random.default_rng(0)
    for weights in rng.dirichlet(np.full(4, 0.7), size=3000):
        blend = sum(w * own / np.abs(own).mean() for w, own in zip(weights, columns, strict=True))
        cosines = (blend * targets).sum(axis=1) / np.linalg.norm(blend, axis=1)
        assert naive_soft_minimum(by_source(data, cosines), tau) <= found + 1e-6


def test_the_worst_source_gains_what_the_mean_gives_up(data: Data) -> None:
    rows = np.arange(len(data.statistics))
    mean, soft, hard = (
        by_source(data, Weighted(objective=objective).fit(data, NONE_HELD_OUT, 0).cosines(
            data, rows, NONE_HELD_OUT
        )).min()
        for objective in ("mean", "soft_worst_source", "worst_source")
    )  # fmt: skip
    assert mean + 1e-3 < soft <= hard + 1e-6


def test_a_refit_climbs_for_the_worst_of_the_folds_it_has(data: Data) -> None:
    fitted = Weighted(objective="worst_source").fit(data, NONE_HELD_OUT, 0)
    again = fitted.refitted(data, frozenset({2}))
    rows = data.training_rows(frozenset({2}))
    worst = [
        min(
            one.cosines(data, rows, frozenset({2}))[data.store.samples.source[rows] == name].mean()
            for name in SOURCES
        )
        for one in (fitted, again)
    ]
    assert worst[1] >= worst[0] - 1e-6


@pytest.mark.parametrize(
    ("source", "said"), [("drawn", "source 'drawn'"), ("", "one unnamed source")]
)
def test_one_source_has_no_worst(source: str, said: str, tmp_path: Path) -> None:
    world = make_world()
    same = replace(world, samples={**world.samples, "source": [source] * len(world)})
    with pytest.raises(StoreError, match=f"all samples are of {said}, so there is no worst one"):
        Weighted(objective="worst_source").fit(same.data(tmp_path), NONE_HELD_OUT, 0)


def test_the_ascent_never_ends_below_its_start(data: Data) -> None:
    structure = Weighting(centred=False, alphas=(1.0,) * 3, weights=())
    rows = np.arange(len(data.statistics))
    source = data.store.samples.source
    parts = [
        weighting_problem(data.statistics, structure, rows[source == name], None)
        for name in SOURCES
    ]
    scale = np.ones(4)
    for start in np.eye(4) + 0.01:
        means = np.array([expand(part, start * part.scale).value for part in parts])
        found = maximise_worst(parts, scale, start, np.ones(4, dtype=bool), temperature=0.01)
        assert found.value >= naive_soft_minimum(means, 0.01)
        assert found.status is Status.CONVERGED
        assert np.abs(found.scaled).sum() == pytest.approx(1.0)


def test_free_weights_may_start_and_end_below_zero(data: Data) -> None:
    structure = Weighting(centred=True, alphas=(1.0,) * 3, weights=())
    rows = np.arange(len(data.statistics))
    source = data.store.samples.source
    parts = [
        weighting_problem(data.statistics, structure, rows[source == name], None)
        for name in SOURCES
    ]
    everything = np.ones(4, dtype=bool)
    start = np.array([0.1, 0.1, 0.1, -0.9])
    means = np.array([expand(part, start * part.scale).value for part in parts])
    found = maximise_worst(parts, np.ones(4), start, everything, temperature=0.01, bounds="free")
    bounded = maximise_worst(parts, np.ones(4), np.ones(4), everything, temperature=0.01)
    assert found.value > naive_soft_minimum(means, 0.01)
    assert found.value >= bounded.value - 1e-6
