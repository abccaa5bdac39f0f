"""Ridge maps against the full design matrix, its normal equations written out in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ensembler.blenders import ridge
from ensembler.blenders.corrections import equations
from ensembler.blenders.corrections.correction import FittedCorrection, group_weight, summed_cosines
from ensembler.blenders.corrections.equations import member_equations
from ensembler.blenders.corrections.residuals import compute_residuals
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.registry import parse_blender
from ensembler.blenders.ridge import STRENGTHS, Ridge, mapped_members
from ensembler.blenders.weighted import Weighted
from ensembler.blending.statistics import Statistics
from ensembler.blends.linear import PRIOR_ALONE, LinearBlend
from ensembler.errors import InputError
from ensembler.metrics import unit_rows
from ensembler.search.space import Space
from ensembler.store.reader import Store

HELD: HeldFolds = frozenset({1})
Matrix = NDArray[np.float64]
Prepare = Callable[..., tuple[Space, Statistics]]


@pytest.fixture(scope="module")
def data(small: Store, prepare: Prepare) -> Data:
    """Four members of partial coverage on 120 rows, with row weights; 48 columns."""
    space, statistics = prepare(small, trials=12)
    weight = np.random.default_rng(5).integers(0, 4, len(statistics)).astype(np.float64)
    return Data(store=small, statistics=replace(statistics, weight=weight), space=space)


def naive_design(data: Data) -> Matrix:
    """(N, M, d) each member less the mean of its rows, at unit length, row by row."""
    rows = len(data.statistics)
    design = np.zeros((rows, len(data.names), data.dim))
    for m, name in enumerate(data.names):
        vectors = data.store.member(name).block(0, rows).astype(np.float64)
        present = vectors.any(axis=1)
        mean = vectors[present].mean(axis=0)
        for row in np.flatnonzero(present):
            centred = vectors[row] - mean
            design[row, m] = centred / np.linalg.norm(centred)
    return design


def naive_base(data: Data, fitted: FittedCorrection, held_out: HeldFolds) -> Matrix:
    """(N, d) the base's rows, by the blend that others test."""
    everything = np.arange(len(data.statistics))
    blend = fitted.base.blend if fitted.base else PRIOR_ALONE
    return np.concatenate([b.blended.vectors for b in data.blended(blend, everything, held_out)])


def naive_prediction(data: Data, base: Matrix, held_out: HeldFolds, penalty: float) -> Matrix:
    """(N, d) unit rows of base and map: least squares with one extra row for each column."""
    design = naive_design(data).reshape(len(base), -1)
    train, targets = data.training_rows(held_out), unit_rows(data.store.targets())
    weight = data.statistics.weight[train, None]
    scale = (weight * base[train] * targets[train]).sum() / (weight * base[train] ** 2).sum()
    root = np.sqrt(weight)
    columns = design.shape[1]
    stacked = np.vstack([root * design[train], math.sqrt(penalty) * np.eye(columns)])
    residuals = np.vstack(
        [root * (targets[train] - scale * base[train]), np.zeros((columns, data.dim))]
    )
    maps = np.linalg.lstsq(stacked, residuals, rcond=None)[0]
    return unit_rows(scale * base + design @ maps)


@pytest.fixture(params=["primal", "dual"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either form of the equations, whatever the shape of the data."""
    other = equations._primal if request.param == "primal" else equations._dual
    monkeypatch.setattr(equations, "_dual", other)
    monkeypatch.setattr(equations, "_primal", other)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("alone", [False, True])
def test_a_map_is_what_least_squares_with_a_penalty_gives(data: Data, alone: bool) -> None:
    data = replace(data)  # forgets the equations of the other form
    fitted = Ridge(strength=2.0, alone=alone).fit(data, HELD, seed=0)
    base = naive_base(data, fitted, HELD)
    expected = naive_prediction(data, base, HELD, 2.0 * group_weight(data))
    everything = np.arange(len(base))
    blended = [block.blended for block in data.blended(fitted.blend, everything, HELD)]
    found = np.concatenate([part.vectors for part in blended])
    absent = np.concatenate([part.absent for part in blended])
    assert absent.any() == (not naive_design(data).any(axis=(1, 2)).all())
    assert np.abs(found - expected)[~absent].max() < 3e-6


@pytest.mark.usefixtures("form")
def test_candidates_are_scored_as_their_blends_would_be(data: Data) -> None:
    data = replace(data)
    solver = member_equations(data, data.names)
    rows = data.fold_rows(1)
    residuals = compute_residuals(data, PRIOR_ALONE, HELD, rows)
    penalties = [group_weight(data) * strength for strength in (30.0, 3.0)]
    solutions = solver.solve(residuals, penalties, rough=True)
    found = summed_cosines(residuals, solver.products(residuals, solutions, rows))
    weight, targets = data.statistics.weight[rows], unit_rows(data.store.targets()[rows])
    base = data.priors(HELD)[data.statistics.fold]
    predictions = [base, *(naive_prediction(data, base, HELD, penalty) for penalty in penalties)]
    expected = [weight @ (predicted[rows] * targets).sum(axis=1) for predicted in predictions]
    assert np.allclose(found, expected, atol=1e-5)


def test_the_strength_chosen_scores_best_on_inner_folds(data: Data) -> None:
    chosen = Ridge().fit(data, HELD, seed=0)
    base = Weighted().fit(data, HELD, seed=0)
    totals = np.zeros(len(STRENGTHS))
    for fold in data.inner_folds(HELD):
        inner, rows = HELD | {fold}, data.fold_rows(fold)
        blend = base.refitted(data, inner).blend
        everything = np.arange(len(data.statistics))
        stand = np.concatenate([b.blended.vectors for b in data.blended(blend, everything, inner)])
        targets, weight = unit_rows(data.store.targets()[rows]), data.statistics.weight[rows]
        for s, strength in enumerate(STRENGTHS):
            predicted = stand
            if strength < math.inf:
                penalty = strength * group_weight(data)
                predicted = naive_prediction(data, stand, inner, penalty)
            totals[s] += weight @ (predicted[rows] * targets).sum(axis=1)
    assert chosen.strength == STRENGTHS[int(totals.argmax())]


def test_two_folds_left_take_the_default_strength(data: Data) -> None:
    held_out = frozenset(data.inner_folds(NONE_HELD_OUT)[:-2])
    assert Ridge().fit(data, held_out, seed=0).strength == ridge.DEFAULT


def test_an_infinite_strength_is_the_base_itself(data: Data) -> None:
    fitted = Ridge(strength=math.inf).fit(data, HELD, seed=0)
    assert fitted.base is not None
    assert fitted.blend is fitted.base.blend


def test_scaling_all_weights_changes_no_prediction(data: Data) -> None:
    heavier = replace(
        data,
        statistics=replace(
            data.statistics,
            weight=data.statistics.weight * 8.0,
            fold_sums=data.statistics.fold_sums * 8.0,
        ),
    )
    rows = data.fold_rows(1)
    one, other = (Ridge(strength=3.0).fit(each, HELD, seed=0) for each in (data, heavier))
    assert np.allclose(one.cosines(data, rows, HELD), other.cosines(heavier, rows, HELD), atol=1e-6)


def test_more_columns_than_can_be_solved_for_leave_the_weakest_members_out(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "COLUMNS", 2 * data.dim)
    mapped = mapped_members(data, HELD)
    rows = data.training_rows(HELD)
    design, targets = naive_design(data)[rows], unit_rows(data.store.targets()[rows])
    alone = data.statistics.weight[rows] @ np.einsum("imd,id->im", design, targets)
    assert mapped == tuple(data.names[m] for m in np.sort(np.argsort(-alone)[:2]))
    fitted = Ridge(strength=3.0).fit(data, HELD, seed=0)
    assert fitted.status == "MEMBERS_LEFT_OUT"
    assert isinstance(fitted.blend, LinearBlend)
    assert fitted.blend.base is not None
    assert fitted.blend.mapped == mapped
    assert fitted.blend.maps.shape == (2, data.dim, data.dim)
    assert set(fitted.blend.members) == {*mapped, *fitted.blend.base.members} > {*mapped}


def test_a_map_of_zeros_as_older_specs_have_it_changes_no_row(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "COLUMNS", 2 * data.dim)
    blend = Ridge(strength=3.0).fit(data, HELD, seed=0).blend
    assert isinstance(blend, LinearBlend)
    left_out = len(blend.members) - len(blend.mapped)
    older = replace(
        blend,
        mapped=blend.members,
        alphas=np.ones(len(blend.members)),
        means=data.statistics.means[[data.names.index(name) for name in blend.members]],
        maps=np.concatenate([blend.maps, np.zeros((left_out, data.dim, data.dim), np.float32)]),
    )
    assert (left_out > 0, older.members) == (True, blend.members)
    rows = data.fold_rows(1)
    one, other = (data.cosines(each, rows, HELD) for each in (blend, older))
    assert one.tobytes() == other.tobytes()


def test_a_map_that_cancels_its_base_leaves_a_zero_row() -> None:
    unit = np.eye(2, dtype=np.float32)
    blend = LinearBlend(
        base=None,
        mapped=("m",),
        alphas=np.ones(1),
        means=None,
        scale=1.0,
        maps=-np.eye(2, dtype=np.float32)[None],
    )
    priors = np.array([[1.0, 0.0], [1.0, 0.0]])
    vectors, absent, cancelled = blend.apply({"m": unit}, priors)
    assert cancelled.tolist() == [True, False]
    assert not absent.any()
    assert np.allclose(vectors, [[0.0, 0.0], [math.sqrt(0.5), -math.sqrt(0.5)]])


@pytest.mark.parametrize("strength", [0.0, -1.0, math.nan])
def test_a_strength_that_is_not_positive_is_refused(strength: float) -> None:
    with pytest.raises(InputError, match=r"ridge: strength is .*; give a positive number"):
        Ridge(strength=strength)


def test_its_name_reads_back() -> None:
    for blender in (Ridge(), Ridge(alone=True), Ridge(strength=30.0)):
        assert parse_blender(blender.name) == blender


def test_on_the_committed_store_a_fold_that_it_did_not_know_gains(
    oof: Path, prepare: Prepare
) -> None:
    store = Store.open(oof)
    space, statistics = prepare(store, trials=12)
    data = Data(store=store, statistics=statistics, space=space)
    held, rows = frozenset({0}), data.fold_rows(0)
    with threadpool_limits(1):
        fitted = Ridge().fit(data, held, seed=0)
    assert fitted.base is not None
    lead = fitted.cosines(data, rows, held) - fitted.base.cosines(data, rows, held)
    assert lead.mean() > 0.008
