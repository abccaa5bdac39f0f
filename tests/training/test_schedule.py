"""Learning rates and phases, at given steps."""

from __future__ import annotations

import math

import pytest

from ensembler.training.recipe import Recipe, Warmup
from predictors.shared.training.schedule import phases

RECIPE = Recipe.model_validate(
    {
        "epochs": 15,
        "batch": 8,
        "optimiser": {"name": "madgrad", "lr": 1e-4, "lr_end": 1e-6},
        "config": {},
    }
)


def test_the_rate_falls_along_half_a_cosine_and_reaches_its_end() -> None:
    (only,) = phases(RECIPE, 10)
    assert only.rate(0) == pytest.approx(1e-4)
    assert only.rate(149) == pytest.approx(1e-6)
    for step in (1, 74, 120):
        wanted = 1e-6 + (1e-4 - 1e-6) * (1 + math.cos(math.pi * step / 149)) / 2
        assert only.rate(step) == pytest.approx(wanted, rel=1e-12)


def test_a_warm_up_is_the_first_epochs_of_the_head_alone() -> None:
    recipe = RECIPE.model_copy(update={"warmup": Warmup(epochs=3, lr=1e-2)})
    warm, rest = phases(recipe, 10)
    assert (warm.first, warm.last, warm.head_only) == (0, 30, True)
    assert {warm.rate(step) for step in range(30)} == {1e-2}
    assert (rest.first, rest.last, rest.head_only) == (30, 150, False)
    assert rest.rate(30) == pytest.approx(1e-4)
    assert rest.rate(149) == pytest.approx(1e-6)


def test_a_recipe_may_be_all_warm_up() -> None:
    recipe = RECIPE.model_copy(update={"warmup": Warmup(epochs=15, lr=1e-2)})
    assert [phase.head_only for phase in phases(recipe, 2)] == [True]


def test_a_single_step_has_the_first_rate() -> None:
    (only,) = phases(RECIPE.model_copy(update={"epochs": 1}), 1)
    assert only.rate(0) == 1e-4


def test_a_tower_that_is_frozen_whole_is_never_trained() -> None:
    recipe = RECIPE.model_copy(update={"warmup": Warmup(epochs=3, lr=1e-2), "freeze": 1.0})
    warm, rest = phases(recipe, 10)
    assert warm.head_only
    assert rest.head_only
    assert (rest.rate(30), rest.rate(149)) == pytest.approx((1e-4, 1e-6))
