"""A tower's layers, bottom to top, and what a recipe makes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ensembler.errors import InputError
from ensembler.training.recipe import Recipe
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.layers import layers_of, share_out_layers

WITHOUT_WEIGHTS = torch.device("meta")
TOWERS = {
    "vit": ("vit_large_patch14_clip_336.openai", 24),
    "eva02": ("eva02_large_patch14_448.mim_m38m_ft_in22k", 24),
    "convnext": ("convnext_xxlarge.clip_laion2b_soup", 40),
    "efficientnet": ("tf_efficientnet_lite0.in1k", 16),
}


def tower(name: str) -> Any:  # noqa: ANN401 - a module, untyped here
    with WITHOUT_WEIGHTS:
        return Tower(TowerConfig(model=name, keep_gelu=True))


def recipe(**keys: object) -> Recipe:
    whole = {"epochs": 1, "batch": 2, "optimiser": {"name": "adamw", "lr": 1e-3}, "config": {}}
    return Recipe.model_validate(whole | keys, strict=False)


@pytest.mark.parametrize(("name", "count"), TOWERS.values(), ids=TOWERS)
def test_blocks_are_counted_and_the_stem_is_what_pixels_meet_first(name: str, count: int) -> None:
    model = tower(name)
    stem, blocks = layers_of(model)
    assert len(blocks) == count
    named = {spelt for spelt, _ in model.named_parameters()}
    assert stem.union(*blocks) <= named
    assert len(stem) + sum(map(len, blocks)) == len(stem.union(*blocks))  # each in one of them
    assert any(
        spelt.endswith((".proj.weight", "stem.0.weight", "conv_stem.weight")) for spelt in stem
    )
    above = named - stem.union(*blocks)
    assert all("norm" in spelt or "head" in spelt or "bn2" in spelt for spelt in above)


def test_blocks_are_ordered_by_their_numbers_and_not_by_their_spelling() -> None:
    _, blocks = layers_of(tower("vit_large_patch14_clip_336.openai"))
    assert all(
        f"tower.blocks.{number}.norm1.weight" in block for number, block in enumerate(blocks)
    )


def test_a_stage_s_downsampling_is_of_its_first_block() -> None:
    _, blocks = layers_of(tower("convnext_xxlarge.clip_laion2b_soup"))
    (of,) = [
        number for number, one in enumerate(blocks) if "tower.stages.2.downsample.1.weight" in one
    ]
    assert of == 3 + 4
    assert "tower.stages.2.blocks.0.conv_dw.weight" in blocks[of]


def test_a_model_may_tell_its_own_layers() -> None:
    model = torch.nn.Module()
    model.tower = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(4))
    model.stem, model.blocks = [model.tower[3]], [model.tower[1], model.tower[0]]
    names = [frozenset({f"tower.{one}.weight", f"tower.{one}.bias"}) for one in range(4)]
    stem, blocks = layers_of(model)
    assert [stem, *blocks] == [names[3], names[1], names[0]]


def test_shares_end_at_the_nearest_block() -> None:
    model = tower("vit_large_patch14_clip_336.openai")
    stem, blocks = layers_of(model)
    frozen, adapted = share_out_layers(model, recipe(freeze=0.4, lora={"share": 0.4}))
    assert frozen == stem.union(*blocks[:10])  # of 24, .4 is 9.6
    assert adapted == frozenset().union(*blocks[10:19])  # .8 is 19.2


def test_low_rank_updates_of_the_lowest_block_leave_the_stem_frozen() -> None:
    model = tower("vit_large_patch14_clip_336.openai")
    frozen, adapted = share_out_layers(model, recipe(lora={"share": 0.5}))
    assert frozen == layers_of(model).stem
    assert "tower.blocks.0.norm1.weight" in adapted


@pytest.mark.parametrize("keys", [{}, {"freeze": 1.0}, {"freeze": 0.01}, {"reinitialise": 24}])
def test_nothing_is_shared_out_without_need(keys: dict[str, object]) -> None:
    model = tower("vit_large_patch14_clip_336.openai")
    assert share_out_layers(model, recipe(**keys)) == (frozenset(), frozenset())


def test_new_blocks_that_would_never_be_trained_are_refused() -> None:
    with pytest.raises(
        InputError, match="of the tower's 24 blocks only the highest 12 are trained"
    ):
        share_out_layers(
            tower("vit_large_patch14_clip_336.openai"), recipe(freeze=0.5, reinitialise=13)
        )


def test_a_tower_without_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="this predictor's tower has none"):
        share_out_layers(SimpleNamespace(tower=torch.nn.Linear(2, 2)), recipe(freeze=0.5))
