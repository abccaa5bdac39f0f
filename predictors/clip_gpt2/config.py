"""The config of a prefix captioner: tower, mapper, and the search for texts."""

from __future__ import annotations

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.clip_vit.adapter import ClipViTConfig
from predictors.shared.heads import HEAD, HeadConfig
from predictors.shared.tower_config import MODEL
from predictors.shared.wording import Wording


class FrozenClipConfig(ClipViTConfig):
    """A CLIP tower without a head: the mapper is given its joint embedding of images and texts.

    With `normalise_output` it is scaled to unit length, for a mapper that was trained so.
    """

    model: str = Field(
        default="vit_base_patch32_clip_quickgelu_224.openai",
        pattern="^vit_.*clip",
        description=MODEL,
    )
    head: HeadConfig = Field(default=HeadConfig(kind="none"), description=HEAD)


class MapperConfig(Frozen):
    """A transformer of the language model's width, from an embedding to its prefix."""

    prefix_tokens: int = Field(default=10, ge=1, description="that the language model continues")
    feature_tokens: int = Field(default=10, ge=1, description="that the embedding is unfolded to")
    layers: int = Field(default=8, ge=1, description="of the transformer")
    heads: int = Field(default=8, ge=1, description="of attention, a divisor of the width")


class ClipGpt2Config(Wording):
    """The three parts and the search for texts; the defaults are ClipCap's."""

    tower: FrozenClipConfig = Field(default=FrozenClipConfig(), description="the CLIP tower")
    mapper: MapperConfig = Field(
        default=MapperConfig(), description="from the embedding to the language model's prefix"
    )
