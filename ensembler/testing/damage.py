"""Copies of a predictor's weights that were changed or broken, for the conformance suite."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

State = dict[str, Any]  # name → torch tensor
Change = Callable[[State, str], None]


def copied(path: Path, folder: Path) -> Path:
    """A writable copy of a file or folder below `folder`, under its own name."""
    target = folder / path.name
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
    return target


def file_with(path: Path, tensor: str) -> Path:
    """The file that holds a tensor: `path` itself, or one in that folder.

    Raises:
        LookupError: there is none; the suite's fixture names a tensor that is not in its files.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
    for file in files:
        if tensor in _read(file):
            return file
    raise LookupError(f"{path} holds no tensor {tensor!r}")


def change_weights(file: Path, tensor: str, change: Change) -> None:
    """Rewrite a weights file, in its own format, after a change to its tensors."""
    state = _read(file)
    change(state, tensor)
    _write(file, state)


def drop(state: State, tensor: str) -> None:
    """The tensor is missing."""
    del state[tensor]


def add_unexpected(state: State, tensor: str) -> None:
    """A tensor that nobody asked for stands beside it."""
    state[unexpected(tensor)] = state[tensor].clone()


def unexpected(tensor: str) -> str:
    """The name of the tensor that `add_unexpected` puts beside another."""
    return f"{tensor}_unexpected"


def scale(state: State, tensor: str) -> None:
    """The tensor has other values, of the same shape and type."""
    state[tensor] = state[tensor] * 1.5 + 0.25


def spoil(state: State, tensor: str) -> None:
    """One of the tensor's numbers is NaN."""
    state[tensor] = state[tensor].clone().contiguous()
    state[tensor].view(-1)[0] = float("nan")


def truncate(file: Path) -> None:
    """Keep the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def plant_pickle(file: Path, witness: Path) -> None:
    """Replace a file by a pickle that writes `witness` when it is executed."""
    file.write_bytes(pickle.dumps(_Hostile(witness), protocol=2))  # 2: as torch.save writes


class _Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.witness, "executed")


def _read(file: Path) -> State:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(file))
    import torch

    return dict(torch.load(file, map_location="cpu", weights_only=True))


def _write(file: Path, state: State) -> None:
    if file.suffix == ".safetensors":
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()  # transformers refuses a file that lost its own
        save_file(state, file, metadata)
        return
    import torch

    torch.save(state, file)
