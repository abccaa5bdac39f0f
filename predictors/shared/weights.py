"""Weights of local files: reading without executing anything, checking, loading by name."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ensembler.errors import PredictorError, first_few
from ensembler.files import BROKEN

# Keys under which training scripts store the weights; averaged ones first, as in timm.
WITHIN = ("state_dict_ema", "model_ema", "state_dict", "model")
WRAPPERS = ("_orig_mod.", "module.")  # what torch.compile and DDP put before every name
ASKED_FOR = re.compile(r"\bGLOBAL (\S+)")  # in torch's refusal of a pickle: the code it would run

StateDict = dict[str, torch.Tensor]


def load_weights(path: Path) -> StateDict:
    """Read tensors by name from a .safetensors, .pt, .pth or .bin file.

    From a training script's file only the weights are taken, without the prefixes of wrappers.

    Args:
        path: a local file.

    Raises:
        PredictorError: the file cannot be read, would have to execute something, holds no tensors,
            or a tensor holds NaN or infinity.
    """
    _refuse_torchscript(path)
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (*BROKEN, SafetensorError, pickle.UnpicklingError) as error:
        raise PredictorError(
            f"{path} cannot be read as weights: {what_is_wrong(error)}. It should be .safetensors,"
            " or what torch.save writes of a state dict; nothing in it is executed"
        ) from error
    if isinstance(content, dict):
        content = next((content[key] for key in WITHIN if key in content), content)
    if not isinstance(content, dict) or not content:
        raise PredictorError(f"{path} holds no weights: save a model's state dict in it")
    others = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise PredictorError(
            f"{path} holds {first_few(others)} beside tensors: save only a model's state dict in"
            " it, or name it state_dict"
        )
    for wrapper in WRAPPERS:
        if all(key.startswith(wrapper) for key in content):
            content = {key.removeprefix(wrapper): value for key, value in content.items()}
    check_finite(content, path)
    state: StateDict = content
    return state


def check_finite(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse weights that hold NaN or infinity.

    Args:
        state: tensors by name.
        path: the file or folder that they are from, for the message.

    Raises:
        PredictorError: some do; the message names them.
    """
    spoilt = [key for key, value in state.items() if not torch.isfinite(value).all()]
    if spoilt:
        raise PredictorError(
            f"{path} holds NaN or infinity in {first_few(spoilt)}: its training diverged, or the"
            " file is damaged"
        )


def load_strictly(module: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load weights into a module; names and shapes must be exactly the module's.

    Args:
        module: changed in place.
        state: tensors by name, of any float type.
        path: the file that they are from, for messages.

    Raises:
        PredictorError: weights are missing, unexpected or of another shape; the message names them.
    """
    expected = module.state_dict()
    check_names(expected, state, path)
    others = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if state[name].shape != tensor.shape
    ]
    if others:
        raise PredictorError(
            f"{path} holds weights of other shapes: {first_few(others)}; it is of another model or"
            " config"
        )
    module.load_state_dict(state)


def check_names(expected: Iterable[str], actual: Iterable[str], path: Path) -> None:
    """Refuse a checkpoint whose names are not exactly a model's.

    Args:
        expected: the names of the model's weights.
        actual: the names of the checkpoint's weights.
        path: the checkpoint, for the message.

    Raises:
        PredictorError: names are missing or unexpected; the message has them.
    """
    expected, actual = set(expected), set(actual)
    faults = [
        f"{len(names)} weights are {what} ({first_few(sorted(names), 3)})"
        for what, names in (("missing", expected - actual), ("unexpected", actual - expected))
        if names
    ]
    if faults:
        raise PredictorError(
            f"{path} does not fit the model: {' and '.join(faults)}; it is of another model, or the"
            " config has another head"
        )


def what_is_wrong(error: BaseException) -> str:
    """A library's complaint about a file that it cannot read, in one line without a full stop.

    For a pickle it is only the code that would run: torch's message advises to load it unsafely.
    """
    if isinstance(error, pickle.UnpicklingError):
        asked = ASKED_FOR.search(str(error))
        return f"it would run {asked[1]}" if asked else "it is not a pickle of tensors"
    if isinstance(error, KeyError):  # whose text is a bare key
        return f"KeyError {error}"
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _refuse_torchscript(path: Path) -> None:
    """Refuse a program, such as OpenAI's own CLIP files, before torch warns about it."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise PredictorError(
            f"{path} is a TorchScript program, which would be executed. Where you trust it, save"
            " its weights alone: torch.save(torch.jit.load(path, 'cpu').state_dict(), other_path)"
        )
