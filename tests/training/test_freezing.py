"""What moves and what does not, in whole trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from ensembler.training.recipe import Recipe
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.freezing import choose_trainable, frozen_modules, set_trainable
from predictors.shared.training.layers import layers_of

States = list[dict[str, torch.Tensor]]
HEAD = {"kind": "linear", "dim": 6}
RESNET = {"model": "test_resnet.r160_in1k", "image_size": 32, "head": HEAD}
FAST = {"name": "adamw", "lr": 1e-2}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def blocks_of(names: Iterable[str]) -> set[int]:
    return {int(name.split(".")[2]) for name in names if name.startswith("tower.blocks.")}


def test_the_lowest_share_of_blocks_and_the_stem_stay_as_they_are(
    train_here: Callable[..., Any], after_each_step: States
) -> None:
    train_here(freeze=0.5, optimiser=FAST)
    changed = moved(after_each_step[0], after_each_step[-1])
    assert blocks_of(changed) == {3, 4, 5}
    assert {name for name in changed if not name.startswith("tower.blocks.")} == {
        "head.weight",
        "tower.norm.weight",
        "tower.norm.bias",
    }


def test_a_warm_up_comes_before_a_freeze(
    train_here: Callable[..., Any], after_each_step: States
) -> None:
    train_here(freeze=0.5, warmup={"epochs": 1, "lr": 1e-2}, optimiser=FAST)
    assert moved(after_each_step[0], after_each_step[2]) == {"head.weight"}
    assert blocks_of(moved(after_each_step[2], after_each_step[-1])) == {3, 4, 5}


@pytest.mark.parametrize("augment", [None, {"scale": [0.5, 1.0]}], ids=["once", "augmented"])
def test_a_tower_that_is_frozen_whole_leaves_the_head_alone(
    train_here: Callable[..., Any], after_each_step: States, augment: dict[str, object] | None
) -> None:
    keys = {} if augment is None else {"augment": augment}
    train_here(freeze=1.0, optimiser=FAST, config=RESNET, **keys)
    assert moved(after_each_step[0], after_each_step[-1]) == {"head.weight"}


def test_frozen_batch_norms_keep_their_statistics(
    train_here: Callable[..., Any], after_each_step: States
) -> None:
    train_here(freeze=0.5, config=RESNET)
    changed = moved(after_each_step[0], after_each_step[-1])
    counted = {name.split(".")[1] for name in changed if name.endswith("running_mean")}
    assert counted == {"layer3", "layer4"}


def test_what_comes_without_a_gradient_never_learns() -> None:
    model: Any = Tower(TowerConfig.model_validate({"model": "test_vit.r160_in1k", "head": HEAD}))
    model.tower.blocks[4].requires_grad_(False)
    keys = {"epochs": 1, "batch": 2, "optimiser": FAST, "config": {}, "freeze": 0.5}
    learns = choose_trainable(model, Recipe.model_validate(keys, strict=False), lambda: None)
    set_trainable(model, learns, head_only=False)
    still = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    stem, blocks = layers_of(model)
    assert still == stem.union(*blocks[:3], blocks[4])
    asleep = {name for name, one in model.named_modules() if one in frozen_modules(model)}
    assert {"tower.blocks.2", "tower.blocks.4", "tower.patch_embed"} <= asleep
    assert not {"", "tower", "tower.blocks.3", "head"} & asleep
