"""What was published of each recipe's loss and of what learns, held to what the recipe does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import load_file

from ensembler.predicting.contract import Captioner, Predictor
from tests.training.published.shrinking import BATCH, BESTFITTING, FIRST, KNJCODE, PREFIX, STYLE

if TYPE_CHECKING:
    from tests.training.published.conftest import RunRecipe
    from tests.training.published.watching import Seen


def cosines(vectors: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of every vector with every target, in float64."""
    wide = vectors.astype(np.float64)
    found: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True) @ targets.T
    return found


def logged(run: RunRecipe, name: str) -> list[dict[str, float]]:
    """What is written down of each step and each epoch."""
    path = run(name).report.definition.parent / "fold0" / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", KNJCODE)
def test_the_5th_places_loss_is_one_less_the_cosine_of_unit_vectors(
    name: str, run_recipe: RunRecipe
) -> None:
    call = run_recipe(name).seen.losses[0]
    assert np.linalg.norm(call.vectors, axis=1) == pytest.approx(np.ones(BATCH), abs=1e-5)
    wanted = np.mean(1.0 - np.diag(cosines(call.vectors, call.targets)))
    assert logged(run_recipe, name)[0]["loss"] == pytest.approx(wanted, rel=1e-5)


def test_the_248th_places_loss_ranks_the_batchs_prompts_at_a_scale_of_20(
    run_recipe: RunRecipe,
) -> None:
    call = run_recipe(STYLE).seen.losses[0]
    scores = 20.0 * cosines(call.vectors, call.targets)
    wanted = np.mean([math.log(np.exp(row).sum()) - row[i] for i, row in enumerate(scores)])
    assert logged(run_recipe, STYLE)[0]["loss"] == pytest.approx(wanted, rel=1e-5)


def moved_below(seen: Seen, prefix: str) -> set[str]:
    """What moved of a module, by its names there."""
    return {name.removeprefix(prefix) for name in seen.moved(0, -1) if name.startswith(prefix)}


@pytest.mark.parametrize("stage", ["low", "high"])
def test_the_1st_place_freezes_two_fifths_of_its_vit_and_adapts_two(
    stage: str, run_recipe: RunRecipe
) -> None:
    seen = run_recipe(f"{FIRST}/clip_vit_{stage}_quality").seen
    blocks = [moved_below(seen, f"tower.blocks.{number}.") for number in range(5)]
    linear = {"attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"}
    assert blocks[:4] == [set(), set(), linear, linear]
    assert blocks[4] > linear | {"norm1.weight", "attn.proj.bias"}
    moved = seen.moved(0, -1)
    assert not {"tower.patch_embed.proj.weight", "tower.pos_embed", "tower.cls_token"} & moved
    assert {"head.0.weight", "head.1.weight", "head.1.running_mean", "head.3.weight"} <= moved


@pytest.mark.parametrize("stage", ["low", "high"])
def test_the_1st_place_freezes_the_lowest_of_its_convnext(
    stage: str, run_recipe: RunRecipe
) -> None:
    seen = run_recipe(f"{FIRST}/convnext_{stage}_quality").seen
    stages = [moved_below(seen, f"tower.stages.{number}.") for number in range(4)]
    assert stages[:2] == [set(), set()]
    assert stages[2] == {f"blocks.0.mlp.fc{layer}.weight" for layer in (1, 2)}
    assert "blocks.0.conv_dw.weight" in stages[3]


@pytest.mark.parametrize("stage", ["low", "high"])
def test_the_1st_place_trains_blip2s_qformer_above_a_vision_tower_that_it_adapts(
    stage: str, run_recipe: RunRecipe
) -> None:
    seen = run_recipe(f"{FIRST}/blip2_qformer_{stage}_quality").seen
    below = "tower.vision_model.encoder.layers"
    linear = ("self_attn.qkv", "self_attn.projection", "mlp.fc1", "mlp.fc2")
    assert moved_below(seen, f"{below}.0.") == set()
    assert moved_below(seen, f"{below}.1.") == {f"{layer}.weight" for layer in linear}
    moved = seen.moved(0, -1)
    assert not any(name.startswith("tower.vision_model.embeddings.") for name in moved)
    assert {"tower.query_tokens", "head.0.weight"} <= moved
    assert any(name.startswith("tower.qformer.encoder.layer.0.") for name in moved)


@pytest.mark.parametrize("name", BESTFITTING)
def test_the_1st_place_keeps_the_average_of_its_weights(name: str, run_recipe: RunRecipe) -> None:
    ran = run_recipe(name)
    kept = load_file(ran.report.definition.parent / "fold0" / "last.safetensors")["head.0.weight"]
    start, *steps = (weights["head.0.weight"].double() for weights in ran.seen.weights)
    between = (kept.double() - start).abs().mean() / (steps[-1] - start).abs().mean()
    assert 0.0 < between < 0.5


def test_the_248th_place_freezes_below_and_begins_anew_on_top(run_recipe: RunRecipe) -> None:
    ran = run_recipe(STYLE)
    assert isinstance(ran.begun, dict)
    given, begun = load_file(ran.begun["weights"]), ran.seen.weights[0]
    anew = {
        int(name.split(".")[1])
        for name, one in given.items()
        if name.startswith("blocks.") and not one.equal(begun[f"tower.{name}"])
    }
    assert anew == {3, 4}
    moved = {int(name.split(".")[0]) for name in moved_below(ran.seen, "tower.blocks.")}
    assert moved == {3, 4}
    assert "tower.patch_embed.proj.weight" not in ran.seen.moved(0, -1)


def test_of_the_students_gpt_2_only_the_last_two_blocks_and_the_norm_above_learn(
    run_recipe: RunRecipe,
) -> None:
    seen = run_recipe(PREFIX).seen
    moved = seen.moved(0, -1)
    blocks = {name.split(".h.")[1].split(".")[0] for name in moved if ".h." in name}
    assert blocks == {"10", "11"}
    others = {
        name.split(".")[-2] for name in moved if name.startswith("tower.") and ".h." not in name
    }
    assert others == {"ln_f"}
    assert {name.split(".")[0] for name in moved} == {"mapper", "tower"}


@pytest.mark.parametrize("name", [PREFIX, "minaR0404_43rd/blip", "minaR0404_43rd/coca"])
def test_a_captioner_finds_prompts_that_it_has_not_seen_likelier_after_each_epoch(
    name: str, run_recipe: RunRecipe
) -> None:
    first, second = (line["nll"] for line in logged(run_recipe, name) if "nll" in line)
    assert second < first


def test_the_43rd_places_blip_says_five_texts(load_trained: Callable[[str], Predictor]) -> None:
    blip = load_trained("minaR0404_43rd/blip")
    assert isinstance(blip, Captioner)
    wants = blip.preprocess
    drawn = np.random.default_rng(0).integers(0, 256, (2, wants.height, wants.width, 3), np.uint8)
    assert [said.count(" | ") for said in blip.describe(drawn).captions] == [4, 4]


def test_the_43rd_places_heads_are_a_layer_as_timms_and_several(run_recipe: RunRecipe) -> None:
    def layers(head: str) -> int:
        begun = run_recipe(f"minaR0404_43rd/clip_vit_{head}_head").seen.weights[0]
        return sum(name.startswith("head.") and one.ndim == 2 for name, one in begun.items())

    assert layers("timm") == 1
    assert layers("own") > 1
