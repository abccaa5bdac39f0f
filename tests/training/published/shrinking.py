"""The published recipes, and the tiny models that stand for theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ensembler.training.recipe import Recipe

BATCH = 4
NARROWER = 256  # hidden layers are as many times narrower than published
FIFTH, FIRST = "knjcode_5th", "bestfitting_1st"
STYLE, PREFIX = "qcqced123_248th/style_metric", "dglaser2/clip_gpt2"


class Tiny(NamedTuple):
    """What stands for a recipe's model.

    Attributes:
        adapter: that the recipe is for.
        config: what its config says instead: the model, and what goes with its size.
        after: the recipe whose training it begins with; None begins with the libraries' files.
    """

    adapter: str
    config: dict[str, Any]
    after: str | None = None


DEEP = {"model": "vit_deep_patch4_clip_16.laion"}
SPREAD = {"model": "vit_mini_patch4_clip_16.laion", "image_size": 24, "stride": 6}  # 4 × 1.5
LARGE = {"model": "convnext_mini_mlp.clip", "image_size": 32}
XXLARGE = {"model": "convnext_mini.clip", "image_size": 32}
EVA = {"model": "eva02_mini_patch4_16.ft", "image_size": 16}
MAPPER = {"prefix_tokens": 3, "feature_tokens": 2, "layers": 2, "heads": 2}
TINY = {
    "knjcode_5th/clip_vit_stage1": Tiny("clip_vit", SPREAD),
    "knjcode_5th/clip_vit_stage2": Tiny("clip_vit", SPREAD, "knjcode_5th/clip_vit_stage1"),
    "knjcode_5th/convnext_large_stage1": Tiny("convnext", LARGE),
    "knjcode_5th/convnext_large_stage2": Tiny(
        "convnext", LARGE, "knjcode_5th/convnext_large_stage1"
    ),
    "knjcode_5th/convnext_xxlarge_stage1": Tiny("convnext", XXLARGE),
    "knjcode_5th/convnext_xxlarge_stage2": Tiny(
        "convnext", XXLARGE, "knjcode_5th/convnext_xxlarge_stage1"
    ),
    "knjcode_5th/convnext_xxlarge_extra": Tiny(
        "convnext", XXLARGE, "knjcode_5th/convnext_xxlarge_stage2"
    ),
    "knjcode_5th/eva02_stage1": Tiny("eva02", EVA),
    "knjcode_5th/eva02_stage2": Tiny("eva02", EVA, "knjcode_5th/eva02_stage1"),
    "knjcode_5th/eva02_extra": Tiny("eva02", EVA, "knjcode_5th/eva02_stage2"),
    "bestfitting_1st/clip_vit_low_quality": Tiny("clip_vit", DEEP),
    "bestfitting_1st/clip_vit_high_quality": Tiny(
        "clip_vit", DEEP, "bestfitting_1st/clip_vit_low_quality"
    ),
    "bestfitting_1st/convnext_low_quality": Tiny("convnext", XXLARGE),
    "bestfitting_1st/convnext_high_quality": Tiny(
        "convnext", XXLARGE, "bestfitting_1st/convnext_low_quality"
    ),
    "bestfitting_1st/blip2_qformer_low_quality": Tiny("blip2_qformer", {}),
    "bestfitting_1st/blip2_qformer_high_quality": Tiny(
        "blip2_qformer", {}, "bestfitting_1st/blip2_qformer_low_quality"
    ),
    "qcqced123_248th/style_metric": Tiny(
        "style_metric", {**DEEP, "image_size": 32, "style_model": "convnext_mini.clip"}
    ),
    "dglaser2/clip_gpt2": Tiny(
        "clip_gpt2", {"tower": {"model": SPREAD["model"]}, "mapper": MAPPER, "max_tokens": 7}
    ),
    "minaR0404_43rd/blip": Tiny("blip", {"max_tokens": 7}),
    "minaR0404_43rd/coca": Tiny("coca", {"model": None, "max_tokens": 7}),
    "minaR0404_43rd/clip_vit_own_head": Tiny("clip_vit", DEEP),
    "minaR0404_43rd/clip_vit_timm_head": Tiny("clip_vit", DEEP),
}
KNJCODE = [name for name in TINY if name.startswith(FIFTH)]
BESTFITTING = [name for name in TINY if name.startswith(FIRST)]


def shrunk(recipe: Recipe, config: Mapping[str, Any]) -> Recipe:
    """A recipe for a tiny model: everything but sizes is as it was.

    Args:
        recipe: as published.
        config: what the predictor's config says instead.

    Returns:
        The recipe with that model, hidden layers NARROWER times narrower, a batch of BATCH, one
        epoch of each phase or two of a single one, and in float32 what no CPU trains in.
    """
    own = dict(recipe.config)
    if "head" in own:
        hidden = [max(8, width // NARROWER) for width in own["head"].get("hidden", ())]
        own["head"] = own["head"] | ({"hidden": hidden} if hidden else {})
    changes: dict[str, Any] = {"config": own | dict(config), "batch": BATCH}
    changes["epochs"] = min(recipe.epochs, 2)
    if recipe.warmup is not None:
        changes["warmup"] = recipe.warmup.model_copy(update={"epochs": 1})
    if recipe.precision == "float16":
        changes["precision"] = "float32"
    return recipe.model_copy(update=changes)
