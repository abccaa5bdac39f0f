"""Vision models by timm's names, built for any image size and without a network.

A name consists of the architecture and the pretrained tag. The tag decides the preprocessing, the
width of the projection and, for OpenAI's CLIP, the activation; so it must be given where an
architecture has several tags.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg

from ensembler.errors import PredictorError, first_few, unknown_name
from ensembler.images.preprocess import Preprocess
from predictors.shared.tower_config import Resize, TowerConfig
from predictors.shared.weights import StateDict


def build_vision(config: TowerConfig, *, drop_path: float = 0.0) -> torch.nn.Module:
    """Build a timm model, newly initialised, at the config's image size.

    Args:
        config: its model, features (all but "projected" leave out the classifier), image_size,
            stride and keep_gelu are used.
        drop_path: probability that training skips the highest block; timm scales it down for the
            lower blocks.

    Raises:
        PredictorError: the name is unknown or ambiguous, or the model cannot take the image size,
            the stride or a drop_path.
    """
    check_model_name(config.model, keep_gelu=config.keep_gelu)
    settings: dict[str, Any] = {} if config.features == "projected" else {"num_classes": 0}
    if drop_path:
        settings["drop_path_rate"] = drop_path
    try:
        model = timm.create_model(config.model, pretrained=False, **settings)
    except TypeError as error:
        if not drop_path:
            raise
        raise PredictorError(
            f"model {config.model!r} has no paths to drop: remove drop_path"
        ) from error
    if config.stride is not None:
        _spread(model, config)
    elif config.image_size is not None:
        _resize(model, config)
    return model


def check_model_name(name: str, *, keep_gelu: bool = False) -> None:
    """Refuse a name that is unknown, ambiguous, or has another activation than its weights.

    Args:
        name: architecture, or architecture.tag.
        keep_gelu: the weights use GELU, though those of their tag were published with QuickGELU.

    Raises:
        PredictorError: the name is refused; the message has the right spellings.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "timm.list_models() has all there are"
        raise PredictorError(f"no timm model named {architecture!r}; {hint}")
    tagged = get_arch_pretrained_cfgs(architecture)
    if not tag and len(tagged) > 1:
        raise PredictorError(
            f"model {name!r} has several pretrained tags, whose preprocessing differs: name one of"
            f" {first_few(tagged, 20)}"
        )
    if tag and name not in tagged:
        raise PredictorError(unknown_name("timm model", name, tagged))
    notes = " ".join((get_pretrained_cfg(name) or timm.models.PretrainedCfg()).notes or ())
    if "QuickGELU" in notes and "quickgelu" not in architecture and not keep_gelu:
        quick = name.replace("_clip_", "_clip_quickgelu_")
        raise PredictorError(
            f"model {name!r} computes GELU, but its weights were published with QuickGELU and would"
            f" give other vectors: name {quick!r}, or set keep_gelu = true if yours were fine-tuned"
            " with GELU"
        )


def vision_preprocess(model: torch.nn.Module, config: TowerConfig) -> Preprocess:
    """The preprocessing of a model: the config's, or timm's record where the config has none.

    Args:
        model: a model from `build_vision`.
        config: the config that it was built from.

    Raises:
        PredictorError: timm records a crop that cannot be expressed as a `Preprocess`.
    """
    recorded = resolve_model_data_config(model)
    modes: dict[str, Resize] = {"center": "crop", "squash": "squash"}
    resize = config.resize or modes.get(recorded["crop_mode"])
    if resize is None:
        raise PredictorError(
            f"model {config.model!r} was made for padded images, which are not supported: set"
            " resize = 'crop' or 'squash'"
        )
    height, width = (config.image_size,) * 2 if config.image_size else recorded["input_size"][1:]
    return Preprocess(
        height=height,
        width=width,
        resize=resize,
        crop_pct=config.crop_pct or recorded["crop_pct"],
        interpolation=recorded["interpolation"],
        mean=config.mean or tuple(recorded["mean"]),
        std=config.std or tuple(recorded["std"]),
    )


def convert_state(
    model: torch.nn.Module, config: TowerConfig, state: Mapping[str, torch.Tensor], path: Path
) -> StateDict:
    """Convert weights of timm or open_clip to a model's own names and image size.

    The text tower of an open_clip file is left out, and so is the classifier of any file where the
    features do not use it.

    Args:
        model: a model from `build_vision`.
        config: the config that it was built from.
        state: the weights as read from the file.
        path: the file, for messages.

    Raises:
        PredictorError: the weights are of another architecture.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes == {name: tensor.shape for name, tensor in state.items()}:
        return dict(state)  # timm would take a Swin without classifier for an old one and rename it
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        converted: StateDict = dict(state) if convert is None else convert(dict(state), model)
    except (LookupError, ValueError, RuntimeError, AttributeError, TypeError, AssertionError) as e:
        raise PredictorError(
            f"{path} cannot be converted for timm's {config.model!r}: {e}; it is of another model"
        ) from e
    if config.features == "projected":
        return converted
    classifier = model.pretrained_cfg["classifier"]
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    unused = tuple(f"{name}." for name in names)
    return {key: value for key, value in converted.items() if not key.startswith(unused)}


def _resize(model: torch.nn.Module, config: TowerConfig) -> None:
    """Set another image size; convolutional towers take any."""
    size = config.image_size
    if hasattr(model, "set_input_size"):
        try:
            model.set_input_size(img_size=(size, size))
        except (AssertionError, ValueError, RuntimeError) as error:
            raise PredictorError(
                f"model {config.model!r} cannot take images of {size}: {error}"
            ) from error
    elif model.pretrained_cfg["fixed_input_size"] and size != model.pretrained_cfg["input_size"][1]:
        raise PredictorError(
            f"model {config.model!r} takes images of {model.pretrained_cfg['input_size'][1]} only,"
            f" not of {size}"
        )


def _spread(model: torch.nn.Module, config: TowerConfig) -> None:
    """Set the stride of the patch kernel, so that a larger image falls on the same grid."""
    patches = getattr(model, "patch_embed", None)
    kernel, step, size = getattr(patches, "patch_size", None), config.stride, config.image_size
    if patches is None or kernel is None or step is None or not hasattr(patches, "proj"):
        raise PredictorError(f"model {config.model!r} has no patch kernel: remove stride")
    side = patches.grid_size[0]
    smallest = (side - 1) * step + kernel[0]
    if size is None or not smallest <= size < smallest + step:
        raise PredictorError(
            f"stride {step} puts model {config.model!r} on its grid of {side}×{side} for image_size"
            f" from {smallest} to {smallest + step - 1}, not {size}"
        )
    patches.proj.stride = (step, step)
    patches.img_size = (size, size)
