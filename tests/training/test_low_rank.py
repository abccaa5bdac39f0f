"""Low-rank updates: where they are, that they learn, and that checkpoints hold them merged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ensembler.errors import InputError
from ensembler.training.recipe import Lora, Recipe
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.freezing import choose_trainable, set_trainable
from predictors.shared.training.layers import layers_of
from predictors.shared.training.low_rank import add_updates, merge_updates
from predictors.shared.training.optimisers import make_optimiser
from predictors.tower.adapter import VisionTower

HEAD = {"kind": "linear", "dim": 6}
KEYS: dict[str, Any] = {
    "freeze": 0.34,
    "lora": {"share": 0.33, "rank": 2, "alpha": 4},
    "optimiser": {"name": "adamw", "lr": 1e-2, "weight_decay": 0.05},
}


def build(model: str = "test_vit.r160_in1k") -> Any:  # noqa: ANN401 - a module, untyped here
    torch.manual_seed(0)
    return Tower(TowerConfig.model_validate({"model": model, "image_size": 32, "head": HEAD}))


def pixels(model: Any) -> torch.Tensor:  # noqa: ANN401 - as above
    shape = (2, 3, model.preprocess.height, model.preprocess.width)
    waves: torch.Tensor = torch.arange(np.prod(shape)).sin().view(shape)
    return waves


def updated(model: Any) -> set[str]:  # noqa: ANN401 - as above
    """The layers that have an update."""
    return {name.split(".lora_")[0] for name, _ in model.named_parameters() if ".lora_" in name}


def look(model: Any) -> torch.Tensor:  # noqa: ANN401 - as above
    vectors: torch.Tensor = model.eval()(pixels(model))
    return vectors


def test_only_the_middle_blocks_have_updates_and_nothing_else_of_theirs_learns() -> None:
    model = build()
    whole = {"epochs": 1, "batch": 2, "config": {}} | KEYS
    recipe = Recipe.model_validate(whole, strict=False)
    names = choose_trainable(model, recipe, partial(look, model))
    set_trainable(model, names, head_only=False)
    learns = {name for name, weight in model.named_parameters() if weight.requires_grad}
    blocks = {number: {n for n in learns if f"blocks.{number}." in n} for number in range(6)}
    assert not blocks[0] | blocks[1]
    for number in (2, 3):
        layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
        assert blocks[number] == {
            f"tower.blocks.{number}.{layer}.lora_{half}.default.weight"
            for layer in layers
            for half in "AB"
        }
    assert {"tower.blocks.4.norm1.weight", "tower.blocks.5.attn.qkv.weight"} <= learns
    assert {"tower.norm.weight", "head.weight"} <= learns
    assert "tower.pos_embed" not in learns
    decays = make_optimiser(model, recipe.optimiser).param_groups[1]
    assert sum(weight.numel() for weight in decays["params"]) == sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if name in learns and weight.ndim > 1
    )


def test_a_checkpoint_has_the_updates_in_its_weights_and_the_adapter_loads_it(
    train_here: Callable[..., Any],
    after_each_step: list[dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    report = train_here(**KEYS)
    first, last = after_each_step[0], after_each_step[-1]
    written = load_file(tmp_path / "out/fold0/last.safetensors")
    assert written.keys() == build().state_dict().keys()
    changed = {name for name, one in first.items() if not torch.equal(one, last[name])}
    assert any(name.startswith("tower.blocks.2.attn.qkv.lora_A") for name in changed)
    for number in (2, 3):
        name = f"tower.blocks.{number}.mlp.fc1"
        down, up = (last[f"{name}.lora_{half}.default.weight"].double() for half in "AB")
        whole = last[f"{name}.base_layer.weight"].double() + 4 / 2 * up @ down
        torch.testing.assert_close(written[f"{name}.weight"].double(), whole, rtol=0, atol=1e-6)
        assert torch.equal(first[f"{name}.base_layer.weight"], last[f"{name}.base_layer.weight"])
        assert torch.equal(first[f"{name}.base_layer.bias"], written[f"{name}.bias"])
    files = {"weights": tmp_path / "out/fold0/best.safetensors"}
    config = VisionTower.Config.model_validate(report.folds[0].config, strict=False)
    assert isinstance(config, TowerConfig)
    vectors = VisionTower.load(config, files, device="cpu").embed(
        np.zeros((1, 16, 16, 3), np.uint8)
    )
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    "name", ["test_vit.r160_in1k", "test_convnext.r160_in1k", "eva02_tiny_patch14_224.mim_in22k"]
)
def test_merged_weights_give_the_same_vectors(name: str) -> None:
    model = Tower(TowerConfig.model_validate({"model": name, "head": HEAD}))
    for module in model.modules():
        if hasattr(module, "gamma") and module.gamma is not None:
            torch.nn.init.constant_(module.gamma, 0.5)  # 1e-6 would hide what a block does
    before = look(model)
    _, blocks = layers_of(model)
    add_updates(model, blocks[1] | blocks[2], Lora(share=0.5), partial(look, model))
    assert torch.equal(look(model), before)  # an update is zero at first
    for spelt, weight in model.named_parameters():
        if ".lora_B." in spelt:
            torch.nn.init.normal_(weight, std=0.05)
    after = look(model)
    assert (after - before).abs().max() > 1e-2
    plain = Tower(model.config)
    plain.load_state_dict(merge_updates(model))
    torch.testing.assert_close(look(plain), after, rtol=1e-4, atol=1e-5)


def test_a_layer_whose_weights_are_read_past_it_gets_no_update() -> None:
    model = Tower(TowerConfig.model_validate({"model": "eva02_tiny_patch14_224.mim_in22k"}))
    blocks = layers_of(model).blocks
    add_updates(model, blocks[1], Lora(share=0.1), partial(look, model))
    assert updated(model) == {
        f"tower.blocks.1.{one}" for one in ("attn.proj", "mlp.fc1", "mlp.fc2")
    }


def test_blocks_without_linear_layers_are_refused() -> None:
    model = build("test_efficientnet.r160_in1k")
    blocks = layers_of(model).blocks
    with pytest.raises(InputError, match="have none: remove it"):
        add_updates(model, blocks[1], Lora(share=0.1), partial(look, model))
