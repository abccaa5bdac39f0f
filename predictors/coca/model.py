"""CoCa models of open_clip, from its own configs and checkpoints; never with a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import open_clip
import torch
from open_clip.coca_model import CoCa

from ensembler.errors import PredictorError, first_few, unknown_name
from ensembler.files import BROKEN
from ensembler.images.preprocess import Preprocess
from predictors.shared.openclip import openclip_preprocess
from predictors.shared.weights import load_state, load_strictly

PARTS: Final = ("embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg")  # of a CoCa's config
# Before the keys of towers and tokenizers that other libraries would fetch from a network.
FOREIGN: Final = ("hf_", "timm_", "tokenizer_")


class LoadedCoca(NamedTuple):
    """A CoCa model in eval mode, without gradients.

    Attributes:
        model: of open_clip.
        preprocess: how it wants its images.
        start: the token that every text begins with.
        end: the token that ends it.
    """

    model: torch.nn.Module
    preprocess: Preprocess
    start: int
    end: int


def load_coca(name: str | None, architecture: Path | None, weights: Path) -> LoadedCoca:
    """Load a model with its weights.

    Args:
        name: of one of open_clip's model configs.
        architecture: a file that says it instead; exactly one of the two is given.
        weights: open_clip's checkpoint.

    Raises:
        PredictorError: the architecture is unknown, not said or no CoCa's; a file cannot be read;
            weights are missing, unexpected, of another shape or not finite.
    """
    if (name is None) == (architecture is None):
        raise PredictorError(
            "exactly one of config `model` and file `architecture` says which CoCa the weights are"
            f" of; {'neither does' if name is None else 'both do'}"
        )
    said = _named(str(name)) if architecture is None else _read(architecture)
    model = _build(said)
    # Every text begins and ends with the two, also an empty one.
    start, end = open_clip.tokenize("")[0, :2].tolist()
    vocabulary = model.text.token_embedding.num_embeddings
    if vocabulary != end + 1:
        raise PredictorError(
            f"{said.where}: the text tower knows {vocabulary} tokens, and open_clip's tokenizer"
            f" {end + 1}; it was trained with another tokenizer, which is not served"
        )
    load_strictly(model, load_state(weights), weights)
    model.eval().requires_grad_(requires_grad=False)
    where = f"{said.where}: preprocess_cfg"
    preprocess = openclip_preprocess(model.visual.image_size, said.preprocessing, where)
    return LoadedCoca(model, preprocess, start, end)


class _Said(NamedTuple):
    """What is known of a model beside its weights.

    Attributes:
        config: open_clip's model config.
        preprocessing: of its images, where it is not open_clip's usual one.
        where: both are from, for messages.
    """

    config: dict[str, Any]
    preprocessing: dict[str, Any]
    where: str


def _named(name: str) -> _Said:
    if name not in open_clip.list_models():  # other names would be asked for in a network
        raise PredictorError(unknown_name("open_clip model", name, _captioners()))
    return _Said(open_clip.get_model_config(name), {}, f"open_clip's {name!r}")


def _read(file: Path) -> _Said:
    """What a file says: of the hub's layout, or a model config alone."""
    try:
        content = json.loads(file.read_bytes())
        config = content.get("model_cfg", content)
        return _Said(dict(config), dict(content.get("preprocess_cfg", {})), str(file))
    except BROKEN as error:
        raise PredictorError(
            f"{file} cannot be read as open_clip's model config: {error}"
        ) from error


def _captioners() -> list[str]:
    """The names of open_clip's models that are built here."""
    return [name for name in open_clip.list_models() if name.startswith("coca_ViT")]


def _build(said: _Said) -> torch.nn.Module:
    """A model, newly initialised."""
    config, where = said.config, said.where
    lacking = [part for part in PARTS if part not in config]
    if lacking:
        raise PredictorError(
            f"{where} is no CoCa captioner: it has no {first_few(lacking)}; open_clip's own are"
            f" {first_few(_captioners())}"
        )
    foreign = [
        f"{part}.{key}" for part in PARTS[1:] for key in config[part] if key.startswith(FOREIGN)
    ]
    if foreign:
        raise PredictorError(
            f"{where} builds on another library's model ({first_few(foreign)}), which is not"
            " served; take a CoCa whose towers are open_clip's"
        )
    try:
        return CoCa(**{key: value for key, value in config.items() if key != "custom_text"})
    except (*BROKEN, AssertionError) as error:
        raise PredictorError(f"{where} cannot be built by open_clip: {error}") from error
