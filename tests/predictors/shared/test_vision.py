"""timm's models by name: refused names and sizes, and the towers of the recipes."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from ensembler.errors import PredictorError
from predictors.clip_vit.adapter import ClipViTConfig
from predictors.convnext.adapter import ConvNeXtConfig
from predictors.eva02.adapter import Eva02Config
from predictors.shared.heads import HeadConfig
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.vision import build_vision, check_model_name, vision_preprocess

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vit_large_patch14_clip_226.openai", "did you mean 'vit_large_patch14_clip_224'"),
        ("vit_large_patch14_clip_336", "several pretrained tags.*clip_336.openai"),
        ("vit_large_patch14_clip_224.laion3b", "did you mean 'vit_large_patch14_clip_224.laion2b'"),
        ("hf-hub:timm/x", r"no timm model named 'hf-hub:timm/x'; timm.list_models\(\) has all"),
        (
            "vit_large_patch14_clip_336.openai",
            "published with QuickGELU.*name 'vit_large_patch14_clip_quickgelu_336.openai'",
        ),
    ],
)
def test_a_name_that_is_unknown_or_ambiguous_is_refused(name: str, said: str) -> None:
    with pytest.raises(PredictorError, match=said):
        check_model_name(name)


@pytest.mark.parametrize(
    "name", [name for name in timm.list_models("*clip_quickgelu*", pretrained=True) if "." in name]
)
def test_the_spelling_that_is_offered_for_quickgelu_exists(name: str) -> None:
    check_model_name(name)
    gelu = name.replace("_quickgelu", "")
    if timm.is_model(gelu.partition(".")[0]):
        with pytest.raises(PredictorError, match=f"name '{name}'"):
            check_model_name(gelu)
        check_model_name(gelu, keep_gelu=True)


RECIPES: list[tuple[TowerConfig, int, int, str, tuple[float, ...]]] = [
    (ClipViTConfig(), 768, 336, "crop", OPENAI_MEAN),
    (ClipViTConfig(features="pooled"), 1024, 336, "crop", OPENAI_MEAN),
    (
        ClipViTConfig(model="vit_large_patch14_clip_224.laion2b", image_size=336, stride=21),
        768, 336, "crop", HALF,
    ),
    (
        ClipViTConfig(model="vit_base_patch16_clip_quickgelu_224.openai"),
        512, 224, "crop", OPENAI_MEAN,
    ),
    (ConvNeXtConfig(), 768, 384, "crop", OPENAI_MEAN),
    (ConvNeXtConfig(features="mean"), 1536, 384, "crop", OPENAI_MEAN),
    (ConvNeXtConfig(model="convnext_xxlarge.clip_laion2b_rewind"), 1024, 384, "crop", OPENAI_MEAN),
    (
        ConvNeXtConfig(model="convnext_xxlarge.clip_laion2b_soup", image_size=256),
        1024, 256, "crop", OPENAI_MEAN,
    ),
    (Eva02Config(), 2048, 448, "squash", OPENAI_MEAN),
    (Eva02Config(features="cls"), 1024, 448, "squash", OPENAI_MEAN),
]  # fmt: skip


@pytest.mark.parametrize(("config", "width", "size", "resize", "mean"), RECIPES)
def test_the_recipes_towers_have_their_features_size_and_preprocessing(
    config: TowerConfig, width: int, size: int, resize: str, mean: tuple[float, ...]
) -> None:
    bare = config.model_copy(update={"head": HeadConfig(kind="none")})
    with torch.device("meta"):  # names and shapes without memory
        tower = Tower(bare)
        vectors = tower.eval()(torch.empty(1, 3, size, size))
    assert vectors.shape == (1, width)
    assert tower.dim == width
    wanted = tower.preprocess
    assert (wanted.height, wanted.width, wanted.resize, wanted.mean) == (size, size, resize, mean)
    assert wanted.interpolation == "bicubic"


@pytest.mark.usefixtures("tiny_timm")
def test_the_config_has_the_last_word_on_preprocessing() -> None:
    config = TowerConfig(
        model="convnext_mini.clip",
        image_size=40,
        mean=HALF,
        std=HALF,
        resize="squash",
        crop_pct=0.9,
    )
    wanted = vision_preprocess(build_vision(config), config)
    assert (wanted.height, wanted.width, wanted.crop_pct) == (40, 40, 0.9)
    assert (wanted.mean, wanted.std, wanted.resize) == (HALF, HALF, "squash")


@pytest.mark.usefixtures("tiny_timm")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"stride": 6}, "on its grid of 4×4 for image_size from 22 to 27, not None"),
        ({"stride": 6, "image_size": 28}, "for image_size from 22 to 27, not 28"),
        ({"stride": 6, "image_size": 24, "model": "convnext_mini.clip"}, "no patch kernel"),
        (
            {"image_size": 100, "model": "mixer_b16_224.miil_in21k"},
            "images of 224 only, not of 100",
        ),
    ],
)
def test_a_size_or_stride_that_cannot_be_is_refused(config: dict[str, Any], said: str) -> None:
    whole = TowerConfig(**{"model": "vit_mini_patch4_clip_16.laion", **config})
    with torch.device("meta"), pytest.raises(PredictorError, match=said):
        build_vision(whole)
