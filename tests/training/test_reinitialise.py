"""Rebuilt towers: stochastic depth as in timm, and reinitialised blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.layers import DropPath

from ensembler.errors import InputError, PredictorError
from ensembler.training.recipe import Recipe
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.reinitialise import rebuild_tower

HEAD = {"kind": "linear", "dim": 6}


def build(model: str) -> Any:  # noqa: ANN401 - a module, untyped here
    torch.manual_seed(0)
    return Tower(TowerConfig.model_validate({"model": model, "head": HEAD}))


def recipe(**keys: object) -> Recipe:
    whole = {"epochs": 1, "batch": 2, "optimiser": {"name": "adamw", "lr": 1e-3}, "config": {}}
    return Recipe.model_validate(whole | keys, strict=False)


def rates(model: torch.nn.Module) -> dict[str, float]:
    """How likely each path is dropped."""
    found = {name: one for name, one in model.named_modules() if isinstance(one, DropPath)}
    return {name: one.drop_prob for name, one in found.items()}


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet", "test_resnet"])
def test_paths_are_dropped_as_often_as_timm_drops_them(name: str) -> None:
    model = build(f"{name}.r160_in1k")
    before = {spelt: one.clone() for spelt, one in model.state_dict().items()}
    rebuild_tower(model, recipe(drop_path=0.2))
    theirs = rates(timm.create_model(name, drop_path_rate=0.2, num_classes=0))
    assert rates(model.tower) == theirs
    assert max(theirs.values()) > 0.1
    assert all(torch.equal(one, before[spelt]) for spelt, one in model.state_dict().items())


def test_the_highest_blocks_begin_anew_and_the_others_do_not() -> None:
    model = build("test_resnet.r160_in1k")
    for one in model.state_dict().values():
        one.fill_(3)
    rebuild_tower(model, recipe(reinitialise=2))
    state = model.state_dict()
    changed = {name for name, one in state.items() if not (one == 3).all()}
    assert {name.split(".")[1] for name in changed} == {"layer3", "layer4"}
    assert {"tower.layer4.0.bn1.running_var", "tower.layer3.0.conv1.weight"} <= changed
    kernels = torch.cat([state[name].flatten() for name in sorted(changed) if "conv2" in name])
    assert 0 < kernels.std() < 1  # drawn, not filled


def test_what_begins_anew_is_the_same_for_the_same_seed() -> None:
    states = []
    for _ in range(2):
        model = build("test_vit.r160_in1k")
        rebuild_tower(model, recipe(reinitialise=1))
        states.append(model.state_dict())
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())


def test_a_training_begins_its_highest_blocks_anew(
    train_here: Callable[..., Any], after_each_step: list[dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    train_here(out="before")
    weights = tmp_path / "before/fold0/best.safetensors"
    after_each_step.clear()
    train_here(reinitialise=2, options={"weights": weights})
    begun = load_file(weights)
    anew = {name for name, one in after_each_step[0].items() if not torch.equal(one, begun[name])}
    assert {name.split(".")[2] for name in anew} == {"4", "5"}


@pytest.mark.parametrize("keys", [{"drop_path": 0.1}, {"reinitialise": 1}])
def test_a_tower_that_is_not_of_timm_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(
        InputError, match="need a tower of timm, which this predictor does not have"
    ):
        rebuild_tower(SimpleNamespace(config=None), recipe(**keys))


def test_an_architecture_without_paths_to_drop_is_refused() -> None:
    model = build("dla46_c.in1k")
    with pytest.raises(PredictorError, match=r"'dla46_c\.in1k' has no paths to drop"):
        rebuild_tower(model, recipe(drop_path=0.1))
