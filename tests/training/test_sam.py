"""Sharpness-aware steps against plain numbers, and what they leave as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ensembler.training.recipe import Optimiser
from predictors.shared.training.optimisers import make_optimiser
from predictors.shared.training.sam import sam_step

RHO, RATE, MOMENTUM = 0.3, 0.05, 0.9
NEXT_TO_NOTHING = 1e-9  # a way uphill that ends where it begins
STEP = {"name": "adamw", "lr": 1e-3}
RESNET = {
    "model": "test_resnet.r160_in1k",
    "image_size": 32,
    "head": {"kind": "wide", "dim": 6, "hidden": [8]},
}
NO_SCALER = torch.amp.GradScaler("cpu", enabled=False)

Weights = NDArray[np.float64]


class Normed(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A model with a batch norm, and the loss of its own batch."""

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.head = torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)
        self.inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def backward(self, scaler: torch.amp.GradScaler) -> float:
        loss = self.head(self.tower(self.inputs)).square().mean()
        scaler.scale(loss).backward()
        found: float = loss.item()
        return found


class Line(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A linear model with the loss of its own batch."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.inputs, self.wanted = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
        self.tower, self.head = torch.nn.Identity(), torch.nn.Linear(3, 2, bias=False).double()
        self.head.weight.data = torch.from_numpy(rng.normal(size=(2, 3)))

    def backward(self, scaler: torch.amp.GradScaler = NO_SCALER) -> float:
        """Give its weights the gradients of half the squared error."""
        error = self.head(torch.from_numpy(self.inputs)) - torch.from_numpy(self.wanted)
        loss = (error**2).sum() / 2
        scaler.scale(loss).backward()
        found: float = loss.item()
        return found

    def gradient_at(self, weights: Weights) -> Weights:
        """The same in plain numbers."""
        gradient: Weights = (self.inputs @ weights.T - self.wanted).T @ self.inputs
        return gradient


def optimiser_of(model: Line | Normed) -> Any:  # noqa: ANN401 - untyped here
    settings = Optimiser(name="madgrad", lr=RATE, momentum=MOMENTUM, sam_rho=RHO)
    return make_optimiser(model, settings)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_has_the_gradient_of_where_the_loss_is_about_to_be_highest(scaled: bool) -> None:
    model = Line()
    sam = optimiser_of(model)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    start = model.head.weight.detach().numpy().copy()
    x, total, squares = start, np.zeros_like(start), np.zeros_like(start)
    for step in range(4):
        model.backward(scaler)
        assert sam_step(sam, scaler, model, lambda: model.backward(scaler))
        scaler.update()
        sam.zero_grad()
        uphill = model.gradient_at(x)
        gradient = model.gradient_at(x + RHO * uphill / np.linalg.norm(uphill))
        factor = (RATE + 1e-6) * np.sqrt(step + 1)  # MADGRAD, as its paper has it
        total = total + factor * gradient
        squares = squares + factor * gradient**2
        x = MOMENTUM * x + (1 - MOMENTUM) * (start - total / (np.cbrt(squares) + 1e-6))
    np.testing.assert_allclose(model.head.weight.detach().numpy(), x, rtol=1e-6)


def test_gradients_too_large_for_a_scaler_leave_the_step_out_and_halve_its_scale() -> None:
    model = Line()
    sam = optimiser_of(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = model.head.weight.detach().clone()
    model.backward(scaler)
    model.head.weight.grad[0, 0] = np.inf
    assert sam_step(sam, scaler, model, lambda: pytest.fail("looked uphill"))
    scaler.update()
    assert torch.equal(model.head.weight, before)
    assert scaler.get_scale() == 512.0


def test_gradients_too_large_uphill_leave_the_step_out_and_halve_the_scale() -> None:
    model = Normed()
    sam = optimiser_of(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    model.backward(scaler)
    before = {name: one.clone() for name, one in model.state_dict().items()}

    def uphill() -> float:
        model.inputs = model.inputs * np.inf  # as activations that float16 cannot hold
        return model.backward(scaler)

    assert sam_step(sam, scaler, model, uphill)
    scaler.update()
    for name, one in model.state_dict().items():
        assert torch.equal(one, before[name]), name  # the running statistics too
    assert scaler.get_scale() == 512.0


def test_gradients_that_are_no_numbers_without_a_scaler_are_told() -> None:
    model = Line()
    before = model.head.weight.detach().clone()
    model.backward()
    model.head.weight.grad[0, 0] = np.nan
    sam = optimiser_of(model)
    assert not sam_step(sam, NO_SCALER, model, lambda: pytest.fail("looked uphill"))
    assert torch.equal(model.head.weight, before)


def test_a_loss_that_is_no_number_uphill_leaves_the_weights_where_they_were() -> None:
    model = Line()
    sam = optimiser_of(model)
    before = model.head.weight.detach().clone()
    model.backward()
    assert not sam_step(sam, NO_SCALER, model, lambda: model.backward() * np.nan)
    assert torch.equal(model.head.weight, before)
    assert sam.state[model.head.weight] == {}


def test_two_looks_at_a_batch_draw_the_same(
    train_here: Callable[..., Any], losses: Callable[..., list[float]], tmp_path: Path
) -> None:
    keys = {"config": RESNET, "drop_path": 0.5, "epochs": 3}
    train_here(out="plain", optimiser=STEP, **keys)
    train_here(out="sharp", optimiser=STEP | {"sam_rho": NEXT_TO_NOTHING}, **keys)
    plain, sharp = (losses(tmp_path / f"{out}/fold0") for out in ("plain", "sharp"))
    assert sharp == pytest.approx(plain, rel=5e-3)


def test_two_looks_at_a_batch_count_it_once(train_here: Callable[..., Any], tmp_path: Path) -> None:
    keys = {"config": RESNET, "batch": 10, "epochs": 1}
    train_here(out="plain", optimiser=STEP, **keys)
    train_here(out="sharp", optimiser=STEP | {"sam_rho": NEXT_TO_NOTHING}, **keys)
    plain, sharp = (
        load_file(tmp_path / out / "fold0/last.safetensors") for out in ("plain", "sharp")
    )
    means = [name for name in plain if name.endswith("running_mean")]
    assert any(plain[name].any() for name in means)
    for name in means:
        torch.testing.assert_close(sharp[name], plain[name], rtol=1e-5, atol=1e-7)


def test_a_batch_in_parts_goes_as_far_uphill_as_a_whole_one(
    train_here: Callable[..., Any], losses: Callable[..., list[float]], tmp_path: Path
) -> None:
    step = {"name": "madgrad", "lr": 1e-2}
    train_here(out="plain", optimiser=step)
    train_here(out="whole", optimiser=step | {"sam_rho": 0.5})
    train_here(out="parts", optimiser=step | {"sam_rho": 0.5}, accumulate=2)
    plain, whole, parts = (losses(tmp_path / f"{out}/fold0") for out in ("plain", "whole", "parts"))
    assert whole == pytest.approx(parts, rel=1e-4)
    assert whole[0] == plain[0]
    assert whole[-1] != pytest.approx(plain[-1], rel=1e-2)
