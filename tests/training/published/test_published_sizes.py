"""The published recipes' models at their true size, built without memory for their weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from transformers import Blip2Config, BlipImageProcessor

from ensembler.predicting.registry import find_adapter
from ensembler.training.recipe import load_recipe
from predictors.blip2_qformer.model import Blip2QFormerModel
from predictors.shared.headed import Headed
from predictors.shared.tower import Tower
from predictors.shared.training.layers import layers_of, share_out_layers
from predictors.shared.training.optimisers import make_optimiser
from predictors.style_metric.model import StyleMetricModel
from tests.training.published.shrinking import BESTFITTING, FIFTH, FIRST, KNJCODE, STYLE, TINY

WIDE, LINEAR = (16384, 384), (384,)


class Size(NamedTuple):
    """What was published of a model.

    Attributes:
        side: of its images, in pixels.
        features: numbers that the head is given.
        layers: widths that the head turns them into.
        weights: of the tower, in millions.
    """

    side: int
    features: int
    layers: tuple[int, ...]
    weights: int


LARGE, XXLARGE = Size(384, 768, LINEAR, 200), Size(384, 1024, LINEAR, 847)
SPREAD, EVA = Size(336, 768, LINEAR, 304), Size(448, 2048, LINEAR, 304)
SIZES = {
    f"{FIFTH}/convnext_large_stage1": LARGE,
    f"{FIFTH}/convnext_large_stage2": LARGE,
    f"{FIFTH}/clip_vit_stage1": SPREAD,
    f"{FIFTH}/clip_vit_stage2": SPREAD,
    f"{FIFTH}/convnext_xxlarge_stage1": XXLARGE,
    f"{FIFTH}/convnext_xxlarge_stage2": XXLARGE,
    f"{FIFTH}/convnext_xxlarge_extra": XXLARGE,
    f"{FIFTH}/eva02_stage1": EVA,
    f"{FIFTH}/eva02_stage2": EVA,
    f"{FIFTH}/eva02_extra": EVA,
    f"{FIRST}/clip_vit_low_quality": Size(336, 1024, WIDE, 304),
    f"{FIRST}/clip_vit_high_quality": Size(336, 1024, WIDE, 304),
    f"{FIRST}/convnext_low_quality": Size(256, 1024, WIDE, 847),
    f"{FIRST}/convnext_high_quality": Size(256, 1024, WIDE, 847),
    f"{FIRST}/blip2_qformer_low_quality": Size(224, 768, WIDE, 1091),
    f"{FIRST}/blip2_qformer_high_quality": Size(224, 768, WIDE, 1091),
    STYLE: Size(224, 2944, (4096, 4096, 4096, 4096, 384), 303),
}

Build = Callable[[str], Headed]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """`build(name)`: a recipe's model."""
    folder = tmp_path_factory.mktemp("blip2")
    Blip2Config().save_pretrained(folder)
    BlipImageProcessor(size={"height": 224, "width": 224}).save_pretrained(folder)

    @cache
    def built(name: str) -> Headed:
        adapter, config = TINY[name].adapter, load_recipe(name).config
        checked: Any = find_adapter(adapter).Config.model_validate(config, strict=False)
        with torch.device("meta"):
            if adapter == "blip2_qformer":
                return Blip2QFormerModel(checked, folder)
            return (StyleMetricModel if adapter == "style_metric" else Tower)(checked)

    return built


@pytest.mark.parametrize("name", SIZES)
def test_the_model_is_as_large_as_published(name: str, build: Build) -> None:
    model, size = build(name), SIZES[name]
    assert (model.preprocess.height, model.preprocess.width) == (size.side, size.side)
    assert model.preprocess.interpolation == "bicubic"
    matrices = [one.shape for one in model.head.parameters() if one.ndim == 2]
    widths = (size.features, *size.layers)
    assert matrices == list(zip(widths[1:], widths[:-1], strict=True))
    found = sum(one.numel() for one in model.tower.parameters()) / 1e6
    assert found == pytest.approx(size.weights, rel=0.02)


@pytest.mark.parametrize("name", KNJCODE)
def test_the_5th_places_head_has_no_bias_and_unit_vectors(name: str, build: Build) -> None:
    model = build(name)
    assert [key for key, _ in model.head.named_parameters()] == ["weight"]
    assert model.config.normalise_output


@pytest.mark.parametrize("name", [f"{FIFTH}/clip_vit_stage{stage}" for stage in "12"])
def test_the_5th_places_vit_sees_336_pixels_on_its_own_grid(name: str, build: Build) -> None:
    model = build(name)
    kernels = model.tower.patch_embed.proj
    assert (kernels.kernel_size, kernels.stride) == ((14, 14), (21, 21))
    assert kernels(torch.empty(1, 3, 336, 336, device="meta")).shape[2:] == (16, 16)
    assert model.tower.pos_embed.shape[1] == 16 * 16 + 1
    assert model.preprocess.mean == model.preprocess.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("name", [name for name in KNJCODE if name.endswith("stage2")])
def test_the_5th_place_lets_no_bias_norm_or_position_decay(name: str, build: Build) -> None:
    model = build(name)
    optimiser = make_optimiser(model, load_recipe(name).optimiser)
    names = {id(one): key for key, one in model.named_parameters()}
    rates = {names[id(p)]: g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    assert rates.keys() == set(names.values())
    places = ("pos_embed", "cls_token")
    for key, one in model.named_parameters():
        still = one.ndim == 1 or key.endswith(places)  # biases and norms have one dimension
        assert rates[key] == (0.0 if still else 0.05)


@pytest.mark.parametrize("name", BESTFITTING)
def test_the_1st_place_freezes_40_percent_adapts_40_and_trains_20(name: str, build: Build) -> None:
    model = build(name)
    blocks = layers_of(model).blocks
    frozen, adapted = share_out_layers(model, load_recipe(name))
    lowest = [block <= frozen for block in blocks]
    middle = [block <= adapted for block in blocks]
    assert lowest == sorted(lowest, reverse=True)
    assert middle[lowest.index(False)]
    assert sum(lowest) == pytest.approx(0.4 * len(blocks), abs=0.5)  # the nearest block
    assert sum(lowest) + sum(middle) == pytest.approx(0.8 * len(blocks), abs=0.5)
    trained = {key for key, _ in model.named_parameters()} - frozen - adapted
    assert any(block <= trained for block in blocks[-1:])


def test_the_248th_place_freezes_and_begins_anew_on_24_blocks(build: Build) -> None:
    model = build(STYLE)
    frozen, _ = share_out_layers(model, load_recipe(STYLE))
    assert [block <= frozen for block in layers_of(model).blocks] == [True] * 12 + [False] * 12
