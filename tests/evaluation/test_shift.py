"""Mixes of sources, a source left out, and means of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensembler.blenders.data import Data
from ensembler.blenders.registry import parse_blender
from ensembler.blenders.weights.fitted import weighted_blend
from ensembler.blending.build import Kernel, build_statistics
from ensembler.errors import InputError
from ensembler.evaluation.contestants import Contestant
from ensembler.evaluation.estimate import hold_out
from ensembler.evaluation.ground import Ground
from ensembler.evaluation.leaving import leave_source_out
from ensembler.evaluation.shift import (
    LeftOut,
    means_of,
    own_means_cosines,
    safest,
    sources_to_leave_out,
)
from ensembler.fitting.inputs import make_space
from ensembler.fitting.preparing import prepare_data
from ensembler.metrics import unit_rows
from ensembler.store.mix import mix_weights
from ensembler.testing.worlds import World


def test_a_mix_gives_each_source_its_share_of_the_stores_weight(data: Data) -> None:
    samples = replace(data.store.samples, weight=np.arange(96.0) % 5)
    weight = mix_weights(samples, {"drawn": 3.0, "painted": 1.0})
    drawn = samples.source == "drawn"
    assert weight.sum() == pytest.approx(samples.weight.sum())
    assert weight[drawn].sum() == pytest.approx(3.0 * weight[~drawn].sum())
    for rows in (drawn, ~drawn):  # within a source rows keep their proportions
        own = samples.weight[rows] / samples.weight[rows].sum()
        assert np.allclose(weight[rows] / weight[rows].sum(), own)


def test_a_source_that_a_mix_does_not_name_weighs_nothing(data: Data) -> None:
    samples = data.store.samples
    weight = mix_weights(samples, {"drawn": 1.0})
    assert not weight[samples.source != "drawn"].any()


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"drwan": 1.0}, "no source named 'drwan'; did you mean 'drawn'"),
        ({"drawn": -1.0}, "source 'drawn': its share -1.0 is not a number from 0 up"),
        ({"drawn": np.inf}, "source 'drawn': its share inf is not a number from 0 up"),
        ({"drawn": 0.0}, "the target mix gives every source the share 0"),
        ({"painted": 1.0}, "source 'painted' has no row of any weight"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(data: Data, mix: dict[str, float], message: str) -> None:
    weight = (data.store.samples.source == "drawn").astype(np.float64)
    with pytest.raises(InputError, match=message):
        mix_weights(replace(data.store.samples, weight=weight), mix)


def test_a_source_is_left_out_where_three_groups_stay(data: Data) -> None:
    samples = data.store.samples
    both = sources_to_leave_out(samples)
    assert (both.enough, both.needed) == (("drawn", "painted"), ())
    late = np.where(np.arange(96) < 88, "early", "late")  # late: two groups
    found = sources_to_leave_out(replace(samples, source=late))
    assert (found.enough, found.needed) == (("late",), ("early",))
    few = np.where(np.arange(96) < 8, samples.source, "drawn")  # two groups, of both sources
    weight = (np.arange(96) < 8).astype(np.float64)
    with pytest.raises(InputError, match="without drawn, painted the others have 2, 2 groups"):
        sources_to_leave_out(replace(samples, source=few, weight=weight))
    with pytest.raises(InputError, match="all samples are of source 'sd'; name sources"):
        sources_to_leave_out(replace(samples, source=np.full(96, "sd")))


def test_means_of_some_rows_are_those_of_the_rows_that_a_member_has(
    data: Data, world: World
) -> None:
    rows = np.arange(3, 60, 2)
    for name, mean in zip(("m2", "m0"), means_of(data, ("m2", "m0"), rows), strict=True):
        here = [r for r in rows if world.members[name][r].any()]
        naive = sum(world.members[name][r].astype(np.float64) for r in here) / len(here)
        assert np.allclose(mean, naive, rtol=1e-6)


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_rows_of_no_weight_count_towards_no_mean(
    kernel: Kernel, data: Data, world: World, tmp_path: Path
) -> None:
    weight = (data.store.samples.source == "drawn").astype(np.float64)
    statistics = build_statistics(
        tmp_path,
        data.store.members(),
        data.store.targets(),
        data.statistics.fold,
        weight,
        kernel=kernel,
    )
    for name, mean in zip(statistics.names, statistics.means, strict=True):
        vectors = world.members[name][weight > 0.0]
        naive = vectors[vectors.any(axis=1)].mean(axis=0, dtype=np.float64)
        assert np.allclose(mean, naive, rtol=1e-5, atol=1e-6)


def _ground(data: Data) -> Ground:
    return Ground(
        store=data.store,
        foldings=[data.statistics.fold],
        weight=data.store.samples.weight,
        corpus=data.corpus,
        jobs=1,
    )


def test_a_source_left_out_scores_what_fits_on_the_others_make_of_it(
    data: Data, world: World
) -> None:
    entrants = {"weighted": Contestant(blender=parse_blender("weighted"), space=data.space)}
    rows = np.array([source == "painted" for source in world.samples["source"]])
    known = {"weighted": np.linspace(0.0, 1.0, len(world))}
    left = leave_source_out("painted", _ground(data), entrants, known)
    assert (left.source, left.rows) == ("painted", rows.sum())
    assert left.known["weighted"] == pytest.approx(known["weighted"][rows].mean())
    others = _ground(data).under((~rows).astype(np.float64), "of the other source")
    (under,) = others.repeats(data.space)
    held = hold_out(entrants["weighted"].blender, [under], 0)
    assert left.scores["weighted"] == pytest.approx(held.cosines[rows].mean(), abs=1e-12)
    # Members' means are those of the other source's rows.
    for name, mean in zip(under.names, under.statistics.means, strict=True):
        vectors = world.members[name][~rows]
        assert np.allclose(mean, vectors[vectors.any(axis=1)].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_own_means_replace_those_of_the_other_sources(data: Data, world: World) -> None:
    rows = np.array([source == "painted" for source in world.samples["source"]])
    greedy = hold_out(parse_blender("greedy"), [data], 0)
    found = own_means_cosines([data], greedy.weightings, rows)
    assert found is not None
    for place, cosine in zip(np.flatnonzero(rows)[:10], found, strict=False):
        fold = int(world.samples["fold"][place])
        weighting = greedy.weightings[0][fold]
        assert weighting is not None
        blend_of_fold = weighted_blend(data.statistics, weighting)
        numbers, names = blend_of_fold.numbers, blend_of_fold.members
        prior = data.priors(frozenset({fold}))[fold]
        total = numbers.prior_weight * prior
        absent = True
        for m, name in enumerate(names):
            vectors = world.members[name].astype(np.float64)
            here = [r for r in np.flatnonzero(rows) if vectors[r].any()]
            if not vectors[place].any():
                continue
            absent = False
            x = vectors[place]
            x = x if numbers.means is None else x - vectors[here].mean(axis=0)
            total = total + numbers.weights[m] * x / np.linalg.norm(x)
        blend = prior if absent else unit_rows(total[None, :])[0]
        assert cosine == pytest.approx(float(blend @ world.targets[place]), abs=1e-5)


def test_each_folding_may_have_kept_members_of_its_own(data: Data) -> None:
    rows = data.store.samples.source == "painted"
    definition = data.space.definition.model_copy(update={"members": tuple(data.names[1:])})
    fewer = prepare_data(data.store, make_space(definition, data.store)).data
    assert fewer.names == data.names[1:]
    weightings = [
        hold_out(parse_blender("greedy"), [each], 0).weightings[0] for each in (data, fewer)
    ]
    both = own_means_cosines([data, fewer], weightings, rows)
    first, second = (
        own_means_cosines([each], [own], rows)
        for each, own in zip((data, fewer), weightings, strict=True)
    )
    assert both is not None
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-12)


def test_own_means_are_not_told_of_what_does_not_centre(data: Data) -> None:
    rows = data.store.samples.source == "painted"
    for name in ("uniform", "gains"):
        held = hold_out(parse_blender(name), [data], 0)
        assert own_means_cosines([data], held.weightings, rows) is None


def test_the_safest_blend_loses_least_where_it_loses_most() -> None:
    def part(source: str, **scores: float) -> LeftOut:
        return LeftOut(source=source, rows=1, scores=scores, known=scores, own_means={})

    left_out = (part("a", bold=0.9, calm=0.7, weak=0.6), part("b", bold=0.1, calm=0.3, weak=0.4))
    assert safest(left_out) == "calm"
