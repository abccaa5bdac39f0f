"""Kernel corrections against kernel ridge regression written out in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders import kernel
from ensembler.blenders.corrections.correction import group_weight
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.kernel import Kernel
from ensembler.blenders.registry import parse_blender
from ensembler.blending.statistics import Statistics
from ensembler.blends.kernel import KernelBlend
from ensembler.metrics import unit_rows
from ensembler.search.space import Space
from ensembler.store.reader import Store

HELD: HeldFolds = frozenset({1})
WIDTH = 4.0
Matrix = NDArray[np.float64]


@pytest.fixture(scope="module")
def data(small: Store, prepare: Callable[..., tuple[Space, Statistics]]) -> Data:
    """Four members of partial coverage on 120 rows, with row weights."""
    space, statistics = prepare(small, trials=12)
    weight = np.random.default_rng(5).integers(1, 4, len(statistics)).astype(np.float64)
    return Data(store=small, statistics=replace(statistics, weight=weight), space=space)


def rows_of(data: Data, blend: KernelBlend) -> tuple[Matrix, Matrix]:
    """(N, d) the base's rows and the whole blend's."""
    everything = np.arange(len(data.statistics))
    base, whole = (
        np.concatenate([block.blended.vectors for block in data.blended(each, everything, HELD)])
        for each in (blend.base, blend)
    )
    return base, whole


def fitted_blend(data: Data, strength: float) -> KernelBlend:
    blend = Kernel(strength=strength).fit(data, HELD, seed=0).blend
    assert isinstance(blend, KernelBlend)
    return blend


def naive_kernel(left: Matrix, right: Matrix) -> Matrix:
    """A Gaussian of the distance, pair by pair: on unit rows |x - y|² is 2 - 2 x·y."""
    near = np.zeros((len(left), len(right)))
    for i, x in enumerate(left):
        for j, y in enumerate(right):
            near[i, j] = np.exp(-0.5 * WIDTH * ((x - y) ** 2).sum())
    return near


def test_with_all_rows_as_landmarks_it_is_kernel_ridge_regression(data: Data) -> None:
    blend = fitted_blend(data, 1.0)
    base, found = rows_of(data, blend)
    train, targets = data.training_rows(HELD), unit_rows(data.store.targets())
    weight = data.statistics.weight[train, None]
    scale = (weight * base[train] * targets[train]).sum() / (weight * base[train] ** 2).sum()
    system = naive_kernel(base[train], base[train]) + group_weight(data) * np.diag(
        1.0 / weight[:, 0]
    )
    dual = np.linalg.solve(system, targets[train] - scale * base[train])
    expected = unit_rows(scale * base + naive_kernel(base, base[train]) @ dual)
    present = np.abs(expected - found).max(axis=1) < 1e-5
    lacking = ~(data.statistics.raw.lengths > 0.0).any(axis=1)
    assert (present | lacking).all()


def test_with_few_landmarks_it_minimises_the_penalised_error_over_them(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "LANDMARKS", 20)
    blend = fitted_blend(data, 1.0)
    assert blend.landmarks.shape == (20, data.dim)
    base, _ = rows_of(data, blend)
    train, targets = data.training_rows(HELD), unit_rows(data.store.targets())
    weight, points = data.statistics.weight[train], blend.landmarks.astype(np.float64)
    near, between = naive_kernel(base[train], points), naive_kernel(points, points)

    def loss(coefficients: Matrix) -> float:
        wrong = targets[train] - blend.scale * base[train] - near @ coefficients
        penalty = np.einsum("ld,lk,kd->", coefficients, between, coefficients)
        return float(weight @ (wrong**2).sum(axis=1) + group_weight(data) * penalty)

    best = blend.coefficients.astype(np.float64)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.normal(size=best.shape) * 1e-2
        assert loss(best + step) > loss(best)
        assert loss(best - step) > loss(best)


def test_landmarks_are_drawn_by_id_from_the_training_rows(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "LANDMARKS", 10)
    blend = fitted_blend(data, 1.0)
    base, _ = rows_of(data, blend)
    train = data.training_rows(HELD)
    for landmark in blend.landmarks:
        assert np.isclose(base[train] @ landmark, 1.0, atol=1e-6).any()
    again = fitted_blend(replace(data), 1.0)
    assert np.array_equal(again.landmarks, blend.landmarks)


def test_its_name_reads_back() -> None:
    for blender in (Kernel(), Kernel(width=2.0, strength=3.0)):
        assert parse_blender(blender.name) == blender
