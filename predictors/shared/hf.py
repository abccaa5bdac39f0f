"""Strict loading of models and processors from local transformers folders, without network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer

from ensembler.errors import PredictorError, first_few
from ensembler.files import BROKEN
from ensembler.images.preprocess import Preprocess
from ensembler.store.encoder import quiet_loading
from predictors.shared.weights import StateDict, what_is_wrong

# Pillow's codes of interpolations, as the folders hold them.
INTERPOLATIONS: Final = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
LOCAL: Final = {"local_files_only": True, "trust_remote_code": False}


def model_type(folder: Path) -> str:
    """The kind of model in a folder, as transformers calls it, such as "blip".

    Raises:
        PredictorError: it is not a transformers folder, or this version does not know its kind.
    """
    return str(load_config(folder).model_type)


def load_config(folder: Path) -> Any:  # noqa: ANN401 - untyped library
    """Load a folder's config, as the class of its kind of model.

    Raises:
        PredictorError: it is not a transformers folder, or this version does not know its kind.
    """
    return _load(AutoConfig, folder)


def load_model(
    auto: Any,  # noqa: ANN401 - untyped library
    folder: Path,
    *,
    device: str,
    dtype: torch.dtype = torch.float32,
) -> Any:  # noqa: ANN401 - untyped library
    """Load a model for inference, every one of its weights from the folder.

    Args:
        auto: the class to load with, such as `transformers.AutoModelForImageTextToText`.
        folder: a folder as `save_pretrained` writes it.
        device: a torch device name.
        dtype: type of the loaded weights, whatever their type in the file.

    Raises:
        PredictorError: the folder cannot be read or is of another architecture, or its weights are
            missing, unexpected (both are named) or not finite.
    """
    model, info = _load(auto, folder, output_loading_info=True)
    for fault in ("missing", "unexpected"):
        keys = sorted(info[f"{fault}_keys"])
        if keys:
            raise PredictorError(
                f"{folder}: {len(keys)} {fault} weights for {type(model).__name__}:"
                f" {first_few(keys)}; its config.json and its weights are of different models"
            )
    broken = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    if broken:
        raise PredictorError(
            f"{folder}: weights hold NaN or infinity: {first_few(broken)}; the file is damaged, or"
            " its training diverged"
        )
    return model.to(device, dtype).eval().requires_grad_(requires_grad=False)


def save_folder(folder: Path, model: Any, weights: StateDict, tokens: Any) -> None:  # noqa: ANN401 - untyped library
    """Write a model and its processor or tokenizer to a folder, for `load_model` and its like.

    Args:
        folder: the folder to make.
        model: a transformers model.
        weights: the weights by the model's names; a shared weight has one of its names.
        tokens: the model's processor or tokenizer.
    """
    with quiet_loading():
        model.save_pretrained(folder, state_dict=weights)
        tokens.save_pretrained(folder)


def load_processor(folder: Path) -> Any:  # noqa: ANN401 - untyped library
    """Load the processor of a folder: image processor and tokenizer.

    Raises:
        PredictorError: the folder lacks one of them, or its processor needs code of its own.
    """
    processor = _load(AutoProcessor, folder)
    for part in ("image_processor", "tokenizer"):
        if not hasattr(processor, part):
            raise PredictorError(
                f"{folder} has no {part.replace('_', ' ')}: save the model's processor beside it"
            )
    return processor


def load_image_processor(folder: Path) -> Any:  # noqa: ANN401 - untyped library
    """Load a folder's image processor alone, for a model without texts.

    Raises:
        PredictorError: the folder has none.
    """
    return _load(AutoImageProcessor, folder)


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - untyped library
    """Load the tokenizer of a folder.

    For a folder without one, transformers makes an empty one instead of an error: compare its
    length with the model's vocabulary.

    Raises:
        PredictorError: the folder cannot be read, or its tokenizer needs code of its own.
    """
    return _load(AutoTokenizer, folder)


def preprocess_of(image_processor: Any, folder: Path) -> Preprocess:  # noqa: ANN401 - untyped
    """The steps of a folder's image processor, as data.

    Args:
        image_processor: a transformers image processor.
        folder: the folder that it is from, for messages.

    Raises:
        PredictorError: images would have several sizes, or a step cannot be expressed as a
            `Preprocess`.
    """
    settings = image_processor.to_dict()
    interpolation = INTERPOLATIONS.get(settings.get("resample"))
    if interpolation is None:
        raise PredictorError(
            f"{folder}: the image processor's resample is {settings.get('resample')}; known:"
            f" {', '.join(f'{number} ({name})' for number, name in INTERPOLATIONS.items())}"
        )
    # A processor scales 0..255 by a factor of its own; our mean and std refer to 0..1.
    unit = 255 * settings["rescale_factor"] if settings.get("do_rescale") else 255.0
    normalised = settings.get("do_normalize")
    mean = settings["image_mean"] if normalised else (0.0, 0.0, 0.0)
    std = settings["image_std"] if normalised else (1.0, 1.0, 1.0)
    return Preprocess.model_validate(
        {
            **_geometry(settings, folder),
            "interpolation": interpolation,
            "mean": tuple(value / unit for value in mean),
            "std": tuple(value / unit for value in std),
        }
    )


def _geometry(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The size and the kind of resizing: shorter side with centre crop, or both sides."""
    size = {key: value for key, value in settings["size"].items() if value}
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    height, width = (crop or size).get("height"), (crop or size).get("width")
    if settings.get("do_resize") and not settings.get("do_pad") and height and width:
        geometry = {"height": height, "width": width}
        if {"height": size.get("height"), "width": size.get("width")} == geometry:
            return geometry | {"resize": "squash"}
        if crop and set(size) == {"shortest_edge"} and height == width <= size["shortest_edge"]:
            return geometry | {"resize": "crop", "crop_pct": _share(height, size["shortest_edge"])}
    steps = {
        key: settings.get(key)
        for key in ("do_resize", "size", "do_center_crop", "crop_size", "do_pad")
    }
    raise PredictorError(
        f"{folder}: its image processor does not bring every image to one size by resizing and a"
        f" square centre crop: {steps}"
    )


def _share(part: int, whole: int) -> float:
    """`part / whole`, rounded such that `floor(part / share)` is the whole again."""
    share = part / whole
    return share if math.floor(part / share) == whole else math.nextafter(share, 0.0)


def _load(auto: Any, folder: Path, **options: Any) -> Any:  # noqa: ANN401 - untyped library
    """`auto.from_pretrained`, with any fault of the folder as a PredictorError."""
    if not (folder / "config.json").is_file():
        raise PredictorError(
            f"{folder} is not a transformers folder: it has no config.json; write one with"
            " save_pretrained, of the model and of its processor"
        )
    try:
        with quiet_loading():
            return auto.from_pretrained(folder, **LOCAL, **options)
    except (*BROKEN, SafetensorError, UnpicklingError) as error:
        raise PredictorError(
            f"{folder} cannot be loaded with {auto.__name__}: {what_is_wrong(error)}"
        ) from error
