"""A training's state on disk: tensors in safetensors, numbers in JSON, nothing that is executed.

`state.json` is the commit point: it names the file of tensors and its sha256. The file before is
removed only after it is written, so that a kill or a full disk leaves one whole state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import torch
from pydantic import Field, ValidationError
from safetensors.torch import load_file, save

from ensembler.errors import InputError
from ensembler.faults import faults_of
from ensembler.files import atomic_write, canonical_json
from ensembler.frozen import Frozen, Sha256
from predictors.shared.weights import StateDict

RECORD: Final = "state.json"
Numbers = dict[str, dict[str, float | int]]  # of an optimiser: parameter → its state beside tensors


class Position(Frozen):
    """How far a training has come.

    `optimiser` and `scaler` are their state beside tensors; `frozen` is the digest of the weights
    that no step has changed, which stand in the initial weights, not in the state.
    """

    format: Literal["ensembler-training-state"] = "ensembler-training-state"
    version: Literal[1] = 1
    step: int = Field(ge=0)  # steps done
    scores: tuple[float, ...]  # of the epochs done
    optimiser: Numbers
    scaler: dict[str, float | int]
    frozen: Sha256 | None = None  # None where the state has all weights


class _Record(Frozen):
    """Contents of `state.json`."""

    position: Position
    file: str = Field(pattern=r"^state-\d+\.safetensors$")
    sha256: Sha256


class TrainingState(NamedTuple):
    """A state to resume from."""

    position: Position
    tensors: StateDict


def save_training_state(folder: Path, state: TrainingState) -> None:
    """Write a state and remove the previous one.

    Args:
        folder: folder of the fold.
        state: the state, on any device.

    Raises:
        OSError: it cannot be written; the previous one is whole.
    """
    content = pack_tensors(state.tensors)
    path = folder / f"state-{state.position.step}.safetensors"
    record = _Record(
        position=state.position, file=path.name, sha256=hashlib.sha256(content).hexdigest()
    )
    with atomic_write(path) as file:
        file.write(content)
    with atomic_write(folder / RECORD) as file:
        file.write(canonical_json(record.model_dump(mode="json")))
    for other in folder.glob("state-*.safetensors"):
        if other != path:
            other.unlink()


def load_training_state(folder: Path) -> TrainingState | None:
    """The state that a fold was left in; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        record = _Record.model_validate_json(path.read_bytes())
        with (folder / record.file).open("rb") as file:  # as large as three models: in a stream
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except ValidationError as error:
        raise InputError(_damaged(path, faults_of(error, _Record))) from error
    except OSError as error:
        raise InputError(_damaged(folder, f"{error.filename}: {error.strerror}")) from error
    if digest != record.sha256:
        what = f"its sha256 is {digest} and was {record.sha256}"
        raise InputError(_damaged(folder / record.file, what))
    return TrainingState(record.position, load_file(folder / record.file))


def pack_tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a .safetensors file."""
    content: bytes = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    return content


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """The sha256 of tensors, each with its name, type and shape."""
    digest = hashlib.sha256()
    for name, one in sorted(tensors.items()):
        digest.update(f"{name} {one.dtype} {tuple(one.shape)} ".encode())
        digest.update(one.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def strip_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> StateDict:
    """The tensors whose names begin with a prefix, under their names without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def split_optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[StateDict, Numbers]:
    """Split an optimiser's state, by number of the parameter, into tensors and numbers."""
    tensors: StateDict = {}
    numbers: Numbers = {}
    for number, entries in optimiser.state_dict()["state"].items():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{key}"] = value
            else:
                numbers.setdefault(str(number), {})[key] = value
    return tensors, numbers


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: StateDict, numbers: Numbers
) -> None:
    """Load what `split_optimiser_state` gave, each tensor with the strides of its parameter.

    Files hold no strides, and arithmetic on tensors of different strides rounds differently.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = _with_strides_of(weights[int(number)], tensor)
    for number, entries in numbers.items():
        state.setdefault(int(number), {}).update(entries)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _with_strides_of(weight: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the strides of a weight, where the shapes are equal."""
    if tensor.shape != weight.shape:
        return tensor
    return torch.empty_like(weight, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _damaged(path: Path, what: str) -> str:
    return (
        f"{path} is damaged: {what}; training cannot resume from it. Remove the folder to train the"
        " fold from the beginning"
    )
