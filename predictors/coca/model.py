"""Loading of open_clip's CoCa models from configs and checkpoints, without a network."""

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
from predictors.shared.weights import load_strictly, load_weights

PARTS: Final = ("embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg")  # of a CoCa's config
# Prefixes of config keys for towers and tokenizers that other libraries fetch from a network.
FOREIGN: Final = ("hf_", "timm_", "tokenizer_")


class LoadedCoca(NamedTuple):
    """A CoCa model in eval mode, without gradients.

    Attributes:
        model: the open_clip model.
        preprocess: the preprocessing that its images need.
        start: the token that begins every text.
        end: the token that ends every text.
    """

    model: torch.nn.Module
    preprocess: Preprocess
    start: int
    end: int


def load_coca(name: str | None, architecture: Path | None, weights: Path) -> LoadedCoca:
    """Load a CoCa model with its weights.

    Args:
        name: the name of one of open_clip's model configs.
        architecture: a file with the model config; exactly one of `name` and this is given.
        weights: open_clip's checkpoint.

    Raises:
        PredictorError: the architecture is unknown, not given or not a CoCa; a file cannot be read;
            weights are missing, unexpected, of another shape or not finite.
    """
    if (name is None) == (architecture is None):
        raise PredictorError(
            "give exactly one of config `model` and file `architecture`, which tell the CoCa that"
            f" the weights are of; {'neither is' if name is None else 'both are'} given"
        )
    record = _find(str(name)) if architecture is None else _read(architecture)
    model = _build(record)
    # Every text begins and ends with the two, also an empty one.
    start, end = open_clip.tokenize("")[0, :2].tolist()
    vocabulary = model.text.token_embedding.num_embeddings
    if vocabulary != end + 1:
        raise PredictorError(
            f"{record.where}: the text tower knows {vocabulary} tokens, and open_clip's tokenizer"
            f" {end + 1}; it was trained with another tokenizer, which is not supported"
        )
    load_strictly(model, load_weights(weights), weights)
    model.eval().requires_grad_(requires_grad=False)
    where = f"{record.where}: preprocess_cfg"
    preprocess = openclip_preprocess(model.visual.image_size, record.preprocessing, where)
    return LoadedCoca(model, preprocess, start, end)


class _Record(NamedTuple):
    """A model's record in open_clip's registry or in a file.

    Attributes:
        config: open_clip's model config.
        preprocessing: open_clip's preprocessing config; missing keys take its defaults.
        where: the source of both, for messages.
    """

    config: dict[str, Any]
    preprocessing: dict[str, Any]
    where: str


def _find(name: str) -> _Record:
    if name not in open_clip.list_models():  # open_clip would look for other names in a network
        raise PredictorError(unknown_name("open_clip model", name, _captioners()))
    return _Record(open_clip.get_model_config(name), {}, f"open_clip's {name!r}")


def _read(file: Path) -> _Record:
    """Read a config file, in the hub's layout or with the model config alone."""
    try:
        content = json.loads(file.read_bytes())
        config = content.get("model_cfg", content)
        return _Record(dict(config), dict(content.get("preprocess_cfg", {})), str(file))
    except BROKEN as error:
        raise PredictorError(
            f"{file} cannot be read as open_clip's model config: {error}"
        ) from error


def _captioners() -> list[str]:
    """The names of open_clip's models that can be built here."""
    return [name for name in open_clip.list_models() if name.startswith("coca_ViT")]


def _build(record: _Record) -> torch.nn.Module:
    """Build a model, newly initialised."""
    config, where = record.config, record.where
    lacking = [part for part in PARTS if part not in config]
    if lacking:
        raise PredictorError(
            f"{where} is not a CoCa captioner: it has no {first_few(lacking)}; open_clip's own are"
            f" {first_few(_captioners())}"
        )
    foreign = [
        f"{part}.{key}" for part in PARTS[1:] for key in config[part] if key.startswith(FOREIGN)
    ]
    if foreign:
        raise PredictorError(
            f"{where} builds on another library's model ({first_few(foreign)}), which is not"
            " supported; take a CoCa whose towers are open_clip's"
        )
    try:
        return CoCa(**{key: value for key, value in config.items() if key != "custom_text"})
    except (*BROKEN, AssertionError) as error:
        raise PredictorError(f"{where} cannot be built by open_clip: {error}") from error
