"""Optimisers by what they do to weights: with a gradient of zero, only decay moves anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
import torch

from ensembler.training.recipe import Optimiser
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.optimisers import make_optimiser

Name = Literal["adamw", "madgrad"]
DECAY, RATE = 0.5, 0.1


@pytest.fixture
def tower() -> Tower:
    torch.manual_seed(0)
    head = {"kind": "wide", "dim": 5, "hidden": (7,)}
    config = {"model": "test_vit.r160_in1k", "image_size": 16, "head": head}
    model = Tower(TowerConfig.model_validate(config))
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0)
    return model


def moved(model: Tower, name: Name) -> Iterator[tuple[str, float]]:
    """What one step without a gradient makes of a weight of 1."""
    optimiser = make_optimiser(model, Optimiser(name=name, lr=RATE, weight_decay=DECAY))
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimiser.step()
    for spelt, weight in model.named_parameters():
        yield spelt, weight.detach().flatten()[0].item()


@pytest.mark.parametrize("name", ["adamw", "madgrad"])
def test_only_matrices_decay_and_no_positions(tower: Tower, name: Name) -> None:
    after = dict(moved(tower, name))
    still = {spelt for spelt, weight in after.items() if weight == 1.0}
    wanted = {
        spelt
        for spelt, weight in tower.named_parameters()
        if weight.ndim == 1 or "pos_embed" in spelt or "cls_token" in spelt
    }
    assert still == wanted
    assert {"tower.pos_embed", "head.1.weight", "head.3.bias"} <= still
    assert "head.0.weight" not in still


def test_decay_is_decoupled_from_the_gradient(tower: Tower) -> None:
    assert dict(moved(tower, "adamw"))["head.0.weight"] == pytest.approx(1.0 - RATE * DECAY)


def test_madgrad_moves_a_weight_as_its_paper_says() -> None:
    model = torch.nn.Module()
    model.tower, model.head = torch.nn.Identity(), torch.nn.Linear(1, 1, bias=False)
    weight = model.head.weight
    start = weight.item()
    optimiser = make_optimiser(model, Optimiser(name="madgrad", lr=0.01, momentum=0.9))
    # Defazio and Jelassi 2022, dual averaging with cube roots, in plain numbers.
    x, total, squares = start, 0.0, 0.0
    for step, gradient in enumerate([0.5, -0.2, 0.8]):
        weight.grad = torch.full_like(weight, gradient)
        optimiser.step()
        factor = (0.01 + 1e-6) * (step + 1) ** 0.5
        total += factor * gradient
        squares += factor * gradient**2
        x = 0.9 * x + 0.1 * (start - total / (squares ** (1 / 3) + 1e-6))
    assert weight.item() == pytest.approx(x, rel=1e-5)
