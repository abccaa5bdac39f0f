"""Stacked children: out-of-fold rows, and the weights over them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.nested import FittedNested, Nested
from ensembler.blenders.refitting import buffers, stacking
from ensembler.blenders.registry import parse_blender
from ensembler.blenders.ridge import Ridge
from ensembler.blenders.uniform import Uniform
from ensembler.blenders.weighted import Weighted
from ensembler.blending.apply import WeightedSum
from ensembler.blending.statistics import Statistics
from ensembler.blends.tree import TreeBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.errors import InputError, StoreError
from ensembler.metrics import unit_rows
from ensembler.search.space import Space
from ensembler.store.reader import Store

HELD: HeldFolds = frozenset({1})
CHILDREN: tuple[Blender, ...] = (Uniform(), Weighted(), Ridge(strength=3.0))
Matrix = NDArray[np.float64]
Prepare = Callable[..., tuple[Space, Statistics]]


@pytest.fixture(scope="module")
def data(small: Store, prepare: Prepare) -> Data:
    """Four members of partial coverage on 120 rows."""
    space, statistics = prepare(small, trials=12)
    return Data(store=small, statistics=statistics, space=space)


@pytest.fixture(scope="module")
def fitted(data: Data) -> FittedNested:
    return stacked(Nested(children=CHILDREN), data, HELD)


def stacked(blender: Nested, data: Data, held_out: HeldFolds) -> FittedNested:
    """The fit of a blender of children."""
    fitted = blender.fit(data, held_out, seed=0)
    assert isinstance(fitted, FittedNested)
    return fitted


def naive_rows(data: Data, child: Blender, held_out: HeldFolds) -> Matrix:
    """(N, d) each training row by the child fitted without its fold too; zero where absent."""
    rows = np.zeros((len(data.statistics), data.dim))
    whole = child.fit(data, held_out, seed=0)
    for fold in data.inner_folds(held_out):
        blend = whole.refitted(data, held_out | {fold}).blend
        for at in data.fold_rows(fold):
            members = {
                name: data.store.member(name).block(int(at), int(at) + 1) for name in blend.members
            }
            prior = np.zeros((1, data.dim))
            for other in range(len(rows)):
                if data.statistics.fold[other] not in held_out | {fold}:
                    prior += data.statistics.weight[other] * unit_rows(
                        data.store.targets()[other : other + 1]
                    )
            blended = blend.apply(members, unit_rows(prior))
            rows[at] = 0.0 if blended.absent[0] else blended.vectors[0]
    return rows


def naive_score(
    weights: Matrix, rows: Matrix, priors: Matrix, targets: Matrix, structure: tuple[bool, float]
) -> float:
    """Mean cosine of a weighted sum of children and prior, row by row."""
    centred, alpha = structure
    present: NDArray[np.bool_] = np.asarray(rows.any(axis=2))
    means = rows.sum(axis=1) / present.sum(axis=1)[:, None]
    total = 0.0
    for i, target in enumerate(targets):
        blend = weights[0] * priors[i]
        for c in range(len(rows)):
            if present[c, i]:
                x = rows[c, i] - (means[c] if centred else 0.0)
                blend = blend + weights[1 + c] * x / np.linalg.norm(x) ** alpha
        blend = blend if present[:, i].any() else priors[i]
        total += blend @ target / np.linalg.norm(blend)
    return total / len(targets)


def test_weights_are_the_best_over_rows_that_no_child_knew(
    data: Data, fitted: FittedNested
) -> None:
    train = data.training_rows(HELD)
    rows = np.stack([naive_rows(data, child, HELD)[train] for child in CHILDREN])
    targets = unit_rows(data.store.targets())[train]
    priors = data.priors(HELD)[data.statistics.fold[train]]
    stacked = fitted.stacked
    weights = np.r_[stacked.numbers.prior_weight, stacked.numbers.weights]

    def score(some: Matrix, structure: tuple[bool, float]) -> float:
        return naive_score(some, rows, priors, targets, structure)

    assert stacked.value == pytest.approx(score(weights, stacked.structure), abs=1e-6)
    for structure in ((False, 1.0), (True, 1.0), (True, 0.0)):
        best = minimize(
            lambda some, structure=structure: -score(np.abs(some), structure),
            np.full(4, 0.25),
            method="Nelder-Mead",
            options={"maxiter": 120},
        )
        assert stacked.value >= -best.fun - 1e-6


def test_a_large_store_is_stacked_on_its_first_folds_alone(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacking, "STACKED", 40)
    folds = stacking.stacked_folds(data, HELD)
    assert folds == (0, 2)
    children = CHILDREN[:2]
    found = stacked(Nested(children=children), data, HELD).stacked
    asked = np.flatnonzero(np.isin(data.statistics.fold, folds))
    value = naive_score(
        np.r_[found.numbers.prior_weight, found.numbers.weights],
        np.stack([naive_rows(data, child, HELD)[asked] for child in children]),
        data.priors(HELD)[data.statistics.fold[asked]],
        unit_rows(data.store.targets())[asked],
        found.structure,
    )
    assert found.value == pytest.approx(value, abs=1e-6)


def test_the_blend_holds_children_fitted_on_all_training_rows(
    data: Data, fitted: FittedNested
) -> None:
    used = dict(fitted.blend.children)
    rows = data.fold_rows(1)
    for child in CHILDREN:
        if child.name in used:
            alone = child.fit(data, HELD, seed=0).cosines(data, rows, HELD)
            assert np.allclose(data.cosines(used[child.name], rows, HELD), alone, atol=2e-6)


def test_children_without_weight_are_left_out_of_the_blend(fitted: FittedNested) -> None:
    weights = dict(zip(fitted.children, fitted.stacked.numbers.weights, strict=True))
    assert [name for name, _ in fitted.blend.children] == [n for n, w in weights.items() if w > 0]


def test_one_fold_left_weighs_children_equally_and_says_so(data: Data) -> None:
    fitted = stacked(Nested(children=CHILDREN), data, frozenset({0, 1, 2, 3}))
    assert fitted.status == "TOO_FEW_FOLDS"
    assert np.allclose(fitted.blend.numbers.weights, 1 / 3)


def test_a_tree_adds_up_its_children_but_not_where_they_are_absent() -> None:
    def single(name: str) -> WeightedBlend:
        numbers = WeightedSum(prior_weight=0.0, weights=np.ones(1), alphas=np.ones(1), means=None)
        return WeightedBlend(members=(name,), numbers=numbers)

    tree = TreeBlend(
        children=(("a", single("x")), ("b", single("y"))),
        numbers=WeightedSum(
            prior_weight=1.0, weights=np.array([2.0, 3.0]), alphas=np.ones(2), means=None
        ),
    )
    assert tree.members == ("x", "y")
    rows = {
        "x": np.array([[5, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=np.float32),
        "y": np.array([[0, 2, 0], [0, 2, 0], [0, 0, 0]], dtype=np.float32),
    }
    priors = np.tile([0.0, 0.0, 1.0], (3, 1))
    vectors, absent, cancelled = tree.apply(rows, priors)
    assert np.allclose(vectors, unit_rows(np.array([[2.0, 3, 1], [0, 3, 1], [0, 0, 1]])))
    assert absent.tolist() == [False, False, True]
    assert not cancelled.any()


def test_rows_beyond_what_memory_may_hold_go_to_a_file_with_equal_results(
    data: Data, fitted: FittedNested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "MEMORY_BYTES", 0)
    assert isinstance(buffers.make_buffer(3, 2), np.memmap)
    again = stacked(Nested(children=CHILDREN), replace(data), HELD)
    assert np.array_equal(again.stacked.numbers.weights, fitted.stacked.numbers.weights)


def test_a_full_disk_of_temporary_files_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(buffers, "MEMORY_BYTES", 0)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(StoreError, match=r"has no room for 3 MiB .* let TMPDIR name another"):
        buffers.make_buffer(1 << 18, 3)


def test_its_name_reads_back() -> None:
    for blender in (Nested(), Nested(groups=True)):
        assert parse_blender(blender.name) == blender


def test_children_are_no_option_of_the_text() -> None:
    with pytest.raises(InputError, match="no option named 'children'; known: groups"):
        parse_blender("nested:children=gated")


def test_a_child_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="nested: child weighted is given twice; give each once"):
        Nested(children=(Weighted(), Uniform(), Weighted()))


def test_a_blend_of_no_blends_is_refused() -> None:
    with pytest.raises(InputError, match="there are no children; give at least one blender"):
        Nested(children=())
