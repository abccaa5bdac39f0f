"""The blenders of plain weights, each against loops over rows in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler import api
from ensembler.blenders.contract import Blender, Property
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.fixed import Fixed
from ensembler.blenders.greedy import Greedy
from ensembler.blenders.single_best import SingleBest
from ensembler.blenders.uniform import Uniform
from ensembler.blenders.weighted import Weighted
from ensembler.blenders.weights.fitted import FittedWeights, training_problem
from ensembler.blenders.weights.preselection import forward_selection
from ensembler.blenders.weights.shrinkage import STRENGTHS, choose_shrinkage, towards_uniform
from ensembler.blenders.weights.subset import of_members
from ensembler.blending.build import build_statistics
from ensembler.blending.statistics import GEOMETRY, Statistics
from ensembler.errors import InputError, StoreError
from ensembler.metrics import unit_rows
from ensembler.scoring.baselines import baseline_fits
from ensembler.search.space import Space
from ensembler.spec.weighted import WeightedSpec
from ensembler.store.reader import Store

Naive = Callable[..., NDArray[np.float64]]
Prepare = Callable[..., tuple[Space, Statistics]]
HELD: HeldFolds = frozenset({1})


@pytest.fixture(scope="module")
def data(small: Store, prepare: Prepare) -> Data:
    """Four members of partial coverage on 120 rows; a study of the baselines and a few flips."""
    space, statistics = prepare(small, trials=16)
    return Data(store=small, statistics=statistics, space=space)


@cache
def naive_priors(data: Data, held_out: HeldFolds) -> NDArray[np.float64]:
    """Every row's prior, added up target by target."""
    targets = unit_rows(data.store.targets())
    fold, weight = data.statistics.fold, data.statistics.weight
    priors = np.zeros_like(targets)
    for row in range(len(targets)):
        for other in range(len(targets)):
            if fold[other] != fold[row] and fold[other] not in held_out:
                priors[row] += weight[other] * targets[other]
    return unit_rows(priors)


def naive(
    data: Data, fitted: FittedWeights, held_out: HeldFolds, cosines: Naive
) -> NDArray[np.float64]:
    """Every row's cosine by the formula."""
    targets = data.store.targets()
    weighting = fitted.weighting
    return cosines(
        [data.store.member(name).block(0, len(targets)) for name in data.names],
        targets,
        naive_priors(data, held_out),
        weights=weighting.weights,
        alphas=weighting.alphas,
        means=data.statistics.means if weighting.centred else None,
    )


@pytest.mark.parametrize(
    "blender",
    [
        Uniform(),
        SingleBest(),
        Fixed(weights={"m0": 2.0, "m2": 0.5, "prior": 0.1}, norm="none", centred=True),
        Weighted(),
        Weighted(shrinkage=0.3),
        Weighted(members_at_most=2),
    ],
    ids=lambda blender: str(blender.name),
)
def test_rows_score_what_the_formula_says(
    blender: Uniform | SingleBest | Fixed | Weighted, data: Data, naive_cosines: Naive
) -> None:
    fitted = blender.fit(data, HELD, 0)
    expected = naive(data, fitted, HELD, naive_cosines)
    rows = np.arange(len(expected))
    assert np.abs(fitted.cosines(data, rows, HELD) - expected).max() < 1e-6
    training = data.training_rows(HELD)
    weight = data.statistics.weight[training]
    assert fitted.objective == pytest.approx(np.average(expected[training], weights=weight))


@pytest.mark.parametrize("held_out", [NONE_HELD_OUT, HELD])
def test_uniform_and_single_best_are_the_baselines_of_the_spec(
    data: Data, held_out: HeldFolds
) -> None:
    fits = baseline_fits(data.statistics)
    held = next(iter(held_out), None)
    for blender in (Uniform(), SingleBest()):
        found = blender.fit(data, held_out, 0).weighting
        assert found == fits[blender.name](data.training_rows(held_out), held)


def test_plain_weighted_is_what_fit_finds(data: Data, tmp_path: Path, small: Store) -> None:
    spec = api.fit(small.path, trials=16, spec=tmp_path / "ensemble.json").spec
    weighting = Weighted().fit(data, NONE_HELD_OUT, seed=0).weighting
    weights = dict(zip(data.names, weighting.weights[1:], strict=True))
    alphas = dict(zip(data.names, weighting.alphas, strict=True))
    assert isinstance(spec.blend, WeightedSpec)
    assert spec.blend.centred == weighting.centred
    assert spec.blend.prior.weight == float(f"{weighting.weights[0]:.9g}")
    assert [member.name for member in spec.blend.members] == [n for n, w in weights.items() if w]
    for member in spec.blend.members:
        assert member.weight == float(f"{weights[member.name]:.9g}")
        assert member.alpha == alphas[member.name]


def test_a_refit_keeps_centring_and_norms_and_solves_the_weights_again(data: Data) -> None:
    fitted = Weighted().fit(data, HELD, 0)
    inner = HELD | {2}
    again = fitted.refitted(data, inner)
    assert again.weighting.alphas == fitted.weighting.alphas
    assert again.weighting.centred == fitted.weighting.centred
    assert again.weighting.weights != fitted.weighting.weights
    rows = data.training_rows(inner)
    assert again.objective >= np.average(
        fitted.cosines(data, rows, inner), weights=data.statistics.weight[rows]
    )


def test_a_study_of_fixed_weights_keeps_them_in_a_refit(small: Store, prepare: Prepare) -> None:
    space, statistics = prepare(small, weights="fixed", fixed={"m0": 0.3, "m3": 0.7}, prior=False)
    data = Data(store=small, statistics=statistics, space=space)
    fitted = Weighted().fit(data, NONE_HELD_OUT, 0)
    assert fitted.refitted(data, HELD).weighting == fitted.weighting
    replayed = Fixed(norm="l2", centred=fitted.weighting.centred).fit(data, NONE_HELD_OUT, 0)
    assert replayed.weighting.weights == pytest.approx(fitted.weighting.weights)


def test_fixed_weights_tell_blenders_apart_and_may_be_kept_by(data: Data) -> None:
    one, other = Fixed(weights={"m0": 1.0}), Fixed(weights={"m1": 1.0})
    kept = {one: one.fit(data, NONE_HELD_OUT, 0), other: other.fit(data, NONE_HELD_OUT, 0)}
    assert kept[Fixed(weights={"m0": 1.0})].blend.members == ("m0",)
    assert kept[Fixed(weights={"m1": 1.0})].blend.members == ("m1",)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"m00": 1.0}, "no member named 'm00'; did you mean 'm0'"),
        ({"m0": 0.0}, "no weights to replay"),
        ({"m0": float("nan")}, "no weights to replay"),
        (None, 'weights = "fixed"'),
    ],
)
def test_fixed_refuses_what_makes_no_blend(
    weights: dict[str, float] | None, said: str, data: Data
) -> None:
    with pytest.raises(InputError, match=said):
        Fixed(weights=weights).fit(data, NONE_HELD_OUT, 0)


@pytest.mark.parametrize(
    "blender", [Uniform(), SingleBest(), Fixed(weights={"m0": 1.0}), Greedy(), Weighted()]
)
def test_a_fit_without_any_row_is_refused_by_the_folds_it_lacks(
    blender: Blender, data: Data
) -> None:
    with pytest.raises(StoreError, match="without the folds 0, 1, 2, 3, 4 no row of any weight"):
        blender.fit(data, frozenset(range(5)), 0)


@pytest.mark.parametrize("options", [{"shrinkage": 1.5}, {"members_at_most": 0}])
def test_weighted_refuses_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        Weighted(**options)  # type: ignore[arg-type] # one of them at a time


def test_only_plain_weights_promise_to_ignore_a_duplicate() -> None:
    assert Property.DUPLICATE_INVARIANT in Weighted().properties
    assert Property.DUPLICATE_INVARIANT not in Weighted(shrinkage=0.5).properties


def test_shrinking_all_the_way_makes_columns_weigh_the_same(data: Data) -> None:
    fitted = Weighted(shrinkage=1.0).fit(data, NONE_HELD_OUT, 0)
    weighting = fitted.weighting
    problem = training_problem(
        data, NONE_HELD_OUT, centred=weighting.centred, alphas=weighting.alphas
    )
    scaled = np.array(weighting.weights) * problem.scale
    assert scaled[1:] == pytest.approx(np.full(len(data.names), scaled[1]))


def test_shrinking_goes_a_share_of_the_way_and_leaves_the_prior(data: Data) -> None:
    problem = training_problem(data, NONE_HELD_OUT, centred=False, alphas=(0.0, 0.0, 1.0, 0.0))
    weights = np.array([0.2, 0.5, 0.0, 0.3, 0.0])
    allowed = np.array([True, True, True, True, False])
    found = towards_uniform(problem, weights, 0.25, allowed) * problem.scale
    scaled = weights * problem.scale
    average = scaled[1:4].sum() / 3
    expected = [scaled[0], *(0.75 * scaled[m] + 0.25 * average for m in (1, 2, 3)), 0.0]
    assert found == pytest.approx(expected)


def test_the_share_is_the_best_on_inner_folds(data: Data, naive_cosines: Naive) -> None:
    fitted = Weighted().fit(data, HELD, 0)
    totals = np.zeros(len(STRENGTHS))
    for fold in data.inner_folds(HELD):
        inner = HELD | {fold}
        rows = data.fold_rows(fold)
        for at, share in enumerate(STRENGTHS):
            pulled = Weighted(shrinkage=share).fit(data, HELD, 0).refitted(data, inner)
            cosines = naive(data, pulled, inner, naive_cosines)[rows]
            totals[at] += data.statistics.weight[rows] @ cosines
    found = choose_shrinkage(data, HELD, fitted, data.space.columns)
    assert found == STRENGTHS[int(totals.argmax())]


def test_of_members_is_what_a_store_of_these_members_has(data: Data, tmp_path: Path) -> None:
    some = of_members(data, np.array([0, 2, 3]))
    whole = data.statistics
    alone = build_statistics(
        tmp_path,
        [data.store.member(name) for name in ("m0", "m2", "m3")],
        data.store.targets(),
        whole.fold,
        whole.weight,
    )
    assert some.names == some.space.names == ("m0", "m2", "m3")
    assert list(some.space.groups) == ["m0", "m2", "m3"]
    for centred in (False, True):
        for name in GEOMETRY:
            found = getattr(some.statistics.geometry(centred), name)
            expected = getattr(alone.geometry(centred), name)
            assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(some.statistics.means, alone.means, atol=1e-6)


def test_forward_selection_begins_with_the_best_and_leaves_noise_out(
    write_store: Callable[..., Store], prepare: Prepare
) -> None:
    rng = np.random.default_rng(4)
    targets = unit_rows(rng.normal(size=(90, 8))).astype(np.float32)
    members = {
        f"{kind}{m}": (signal * targets + rng.normal(size=targets.shape) * 0.4).astype(np.float32)
        for kind, signal in (("noise", 0.0), ("good", 1.0))
        for m in range(3)
    }
    members["good1"] = (targets + rng.normal(size=targets.shape) * 0.1).astype(np.float32)
    store = write_store(targets, members)
    space, statistics = prepare(store, trials=1)
    data = Data(store=store, statistics=statistics, space=space)

    def chosen(limit: int) -> set[str]:
        return {data.names[m] for m in forward_selection(data, HELD, limit)}

    assert chosen(1) == {"good1"}
    assert chosen(3) == {"good0", "good1", "good2"}
    few = Weighted(members_at_most=3).fit(data, HELD, 0)
    assert set(few.blend.members) <= chosen(3)
    assert set(few.refitted(data, HELD | {0}).blend.members) <= chosen(3)


def test_a_limit_serves_where_no_member_has_a_training_row(
    write_store: Callable[..., Store], prepare: Prepare
) -> None:
    rng = np.random.default_rng(5)
    targets = unit_rows(rng.normal(size=(60, 6)) + 0.5).astype(np.float32)
    folds = np.arange(60) % 3
    members = {
        f"m{m}": np.where(folds[:, None] == 0, targets + 0.1 * m, 0.0).astype(np.float32)
        for m in range(3)
    }
    store = write_store(targets, members, folds=folds.tolist())
    space, statistics = prepare(store, trials=1)
    data = Data(store=store, statistics=statistics, space=space)
    fitted = Weighted(members_at_most=1).fit(data, frozenset({0}), 0)
    assert np.isfinite(fitted.cosines(data, data.fold_rows(0), frozenset({0}))).all()
