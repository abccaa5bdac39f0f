"""A training's state on disk: tensors in safetensors, numbers in JSON, nothing that is executed.

`state.json` is the commit point: it names the file of tensors and its sha256. The file before is
removed only after it, so that a kill or a full disk leaves one whole state.
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
from ensembler.store.model import Frozen, Sha256

RECORD: Final = "state.json"
Tensors = dict[str, torch.Tensor]
Numbers = dict[str, dict[str, float | int]]  # of an optimiser: parameter → what it remembers


class Position(Frozen):
    """How far a training is.

    `optimiser` and `scaler` are what these remember beside tensors.
    """

    format: Literal["ensembler-training-state"] = "ensembler-training-state"
    version: Literal[1] = 1
    step: int = Field(ge=0)  # steps done
    scores: tuple[float, ...]  # of the epochs done
    optimiser: Numbers
    scaler: dict[str, float | int]


class _Record(Frozen):
    """`state.json`."""

    position: Position
    file: str = Field(pattern=r"^state-\d+\.safetensors$")
    sha256: Sha256


class State(NamedTuple):
    """What a training goes on from."""

    position: Position
    tensors: Tensors


def save_state(folder: Path, state: State) -> None:
    """Write a state and remove the one before.

    Args:
        folder: of the fold.
        state: on any device.

    Raises:
        OSError: it cannot be written; the one before is whole.
    """
    content = packed(state.tensors)
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


def load_state(folder: Path) -> State | None:
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
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except ValidationError as error:
        raise InputError(_damaged(path, faults_of(error, _Record))) from error
    except OSError as error:
        raise InputError(_damaged(folder, f"{error.filename}: {error.strerror}")) from error
    if found != record.sha256:
        what = f"its sha256 is {found} and was {record.sha256}"
        raise InputError(_damaged(folder / record.file, what))
    return State(record.position, load_file(folder / record.file))


def packed(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a .safetensors file."""
    content: bytes = save({name: one.detach().cpu().contiguous() for name, one in tensors.items()})
    return content


def below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Those whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): one for n, one in tensors.items() if n.startswith(prefix)}


def take_apart(optimiser: torch.optim.Optimizer) -> tuple[Tensors, Numbers]:
    """What an optimiser remembers of its parameters, by their number: tensors, and the rest."""
    tensors: Tensors = {}
    numbers: Numbers = {}
    for number, remembered in optimiser.state_dict()["state"].items():
        for key, value in remembered.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{key}"] = value
            else:
                numbers.setdefault(str(number), {})[key] = value
    return tensors, numbers


def put_together(optimiser: torch.optim.Optimizer, tensors: Tensors, numbers: Numbers) -> None:
    """Make an optimiser remember what `take_apart` gave, each tensor laid out as its parameter.

    Files hold no strides, and arithmetic on two tensors of different ones rounds otherwise.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = _laid_out_as(weights[int(number)], tensor)
    for number, plain in numbers.items():
        state.setdefault(int(number), {}).update(plain)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _laid_out_as(weight: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with the strides of a weight, where it has its shape."""
    if tensor.shape != weight.shape:
        return tensor
    return torch.empty_like(weight, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _damaged(path: Path, what: str) -> str:
    return (
        f"{path} is damaged: {what}; training cannot go on from it. Remove the folder to begin the"
        " fold again"
    )
