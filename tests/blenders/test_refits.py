"""Refits are worked out once for all that stand on a fit, and memory is given back."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Barrier

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.blenders.contract import FittedBlend
from ensembler.blenders.corrections import equations
from ensembler.blenders.corrections.correction import FittedCorrection
from ensembler.blenders.data import NONE_HELD_OUT, Data, HeldFolds
from ensembler.blenders.refitting import memory
from ensembler.blenders.refitting.memory import fit_once, forget_fits, keep_refit, refit_once
from ensembler.blenders.registry import parse_blender
from ensembler.blending.apply import BlendedRows, WeightedSum
from ensembler.blending.statistics import Statistics
from ensembler.blends.contract import Blend, Rows
from ensembler.blends.kernel import KernelBlend
from ensembler.blends.linear import LinearBlend
from ensembler.blends.weighted import WeightedBlend
from ensembler.search.space import Space
from ensembler.store.reader import Store

SIZE = 1000  # numbers of a blend that is counted


@dataclass(frozen=True)
class Numbers:
    """A blend of nothing but numbers that take memory."""

    numbers: NDArray[np.float64]
    members: tuple[str, ...] = ()

    def apply(self, rows: Rows, priors: NDArray[np.float64]) -> BlendedRows:
        raise NotImplementedError


@dataclass(frozen=True)  # compared by value: two may be equal and yet have refits of their own
class Counting:
    """A fitted blend that notes which folds it was asked to do without."""

    blend: Numbers
    asked: list[HeldFolds] = field(default_factory=list)
    status: str = "given"
    objective: float = 0.0
    evaluations: int = 0

    def cosines(
        self, data: Data, rows: NDArray[np.int64], held_out: HeldFolds
    ) -> NDArray[np.float64]:
        raise NotImplementedError

    def refitted(self, data: Data, held_out: HeldFolds) -> FittedBlend:  # noqa: ARG002 - any data's
        self.asked.append(held_out)
        return Counting(Numbers(np.zeros(SIZE)))


@pytest.fixture
def data(small: Store, prepare: Callable[..., tuple[Space, Statistics]]) -> Data:
    space, statistics = prepare(small, trials=12)
    return Data(store=small, statistics=statistics, space=space)


@pytest.fixture
def counting() -> Counting:
    return Counting(Numbers(np.zeros(SIZE)))


def held_out(*folds: int) -> HeldFolds:
    return frozenset(folds)


def numbers_of(blend: Blend) -> bytes:
    """What a correction adds, byte by byte."""
    assert isinstance(blend, LinearBlend | KernelBlend)
    return (blend.maps if isinstance(blend, LinearBlend) else blend.coefficients).tobytes()


def test_whoever_asks_again_gets_the_same_refit(data: Data, counting: Counting) -> None:
    assert refit_once(data, counting, held_out(1)) is refit_once(data, counting, held_out(1))
    assert counting.asked == [held_out(1)]


def test_two_threads_that_ask_at_once_wait_for_one_refit(data: Data, counting: Counting) -> None:
    together = Barrier(2)

    def ask(_: int) -> FittedBlend:
        together.wait()
        return refit_once(data, counting, held_out(1))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    assert first is second
    assert counting.asked == [held_out(1)]


def test_refits_are_told_apart_by_fit_folds_and_data(data: Data, counting: Counting) -> None:
    other = Counting(Numbers(np.zeros(SIZE)))
    found = [
        refit_once(data, counting, held_out(1)),
        refit_once(data, counting, held_out(1, 2)),
        refit_once(data, other, held_out(1)),
        refit_once(replace(data), counting, held_out(1)),
    ]
    assert len(set(map(id, found))) == 4


def test_beyond_what_memory_may_hold_the_refit_that_was_asked_for_longest_ago_goes(
    data: Data, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "REFIT_BYTES", 2 * SIZE * 8)
    for fold in (0, 1, 0, 2):  # 1 is the oldest when 2 needs room
        refit_once(data, counting, held_out(fold))
    refit_once(data, counting, held_out(0))
    assert counting.asked == [held_out(0), held_out(1), held_out(2)]
    refit_once(data, counting, held_out(1))
    assert counting.asked == [held_out(0), held_out(1), held_out(2), held_out(1)]


def test_a_refit_larger_than_memory_may_hold_is_given_all_the_same(
    data: Data, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "REFIT_BYTES", 1)
    assert refit_once(data, counting, held_out(0)) is not refit_once(data, counting, held_out(0))


def test_the_numbers_of_all_parts_of_a_blend_are_counted() -> None:
    sums = WeightedSum(prior_weight=1.0, weights=np.ones(2), alphas=np.ones(2), means=None)
    base = WeightedBlend(members=("a", "b"), numbers=sums)
    maps = LinearBlend(
        base=base,
        mapped=("a", "b"),
        alphas=np.ones(2),
        means=np.zeros((2, 3), dtype=np.float32),
        scale=1.0,
        maps=np.zeros((2, 3, 3), dtype=np.float32),
    )
    assert memory._size(base) == 2 * 8 + 2 * 8
    assert memory._size((("one", maps), ("two", base))) == 2 * 32 + 2 * 8 + 6 * 4 + 18 * 4


def test_what_is_kept_for_a_fit_spares_the_refit(data: Data, counting: Counting) -> None:
    known = Counting(Numbers(np.ones(SIZE)))
    keep_refit(data, counting, held_out(1), known)
    assert refit_once(data, counting, held_out(1)) is known
    assert counting.asked == []


@pytest.mark.parametrize(
    ("chain", "form"),
    [("weighted+ridge", "_dual"), ("weighted+ridge", "_primal"), ("weighted+kernel", "_dual")],
)
def test_what_the_choice_of_a_strength_solved_is_the_refit_to_the_last_bit(
    data: Data, chain: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_dual", "_primal"):
        monkeypatch.setattr(equations, name, getattr(equations, form))
    fitted = fit_once(data, parse_blender(chain), NONE_HELD_OUT, 0)
    assert isinstance(fitted, FittedCorrection)
    assert math.isfinite(fitted.strength)
    for fold in data.inner_folds(NONE_HELD_OUT):
        kept = refit_once(data, fitted, held_out(fold))
        assert numbers_of(kept.blend) == numbers_of(fitted.refitted(data, held_out(fold)).blend)


def test_fits_and_refits_are_forgotten_save_those_needed_and_those_on_all_rows(data: Data) -> None:
    uniform, greedy = parse_blender("uniform"), parse_blender("greedy")

    def found() -> list[FittedBlend]:
        fits = [
            fit_once(data, b, a, 0) for b in (uniform, greedy) for a in (NONE_HELD_OUT, held_out(1))
        ]
        return [*fits, *(refit_once(data, fitted, held_out(1, 2)) for fitted in fits)]

    before = found()
    forget_fits(data, [greedy])
    kept = [one is other for one, other in zip(before, found(), strict=True)]
    assert kept == [True, False, True, True] * 2


def test_rows_come_in_blocks_with_zeros_where_a_member_has_none(data: Data) -> None:
    rows = np.arange(3, len(data.statistics), 2)
    blocks = list(data.blocks(data.names, rows, 7))
    assert np.array_equal(np.concatenate([block.rows for block in blocks]), rows)
    assert {len(block.rows) for block in blocks[:-1]} == {7}
    for name in data.names:
        whole = data.store.member(name).block(0, len(data.statistics))
        assert np.array_equal(
            np.concatenate([block.members[name] for block in blocks]), whole[rows]
        )
