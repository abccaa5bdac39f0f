"""Ways to change or damage copies of a predictor's weights, for the conformance suite."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

StateDict = dict[str, Any]  # name → torch tensor
Change = Callable[[StateDict, str], None]


def copy_into(folder: Path, path: Path) -> Path:
    """Make a writable copy of a file or folder in `folder`, under its own name."""
    target = folder / path.name
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copyfile(path, target)
    return target


def file_with(path: Path, tensor: str) -> Path:
    """The file that holds a tensor: `path` itself, or a file in that folder.

    Raises:
        LookupError: there is none: the suite's fixture names a tensor that is not in its files.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.safetensors"))
    for file in files:
        if tensor in _read(file):
            return file
    raise LookupError(f"{path} holds no tensor {tensor!r}")


def change_weights(file: Path, tensor: str, change: Change) -> None:
    """Change the tensors of a weights file, and write it in its own format."""
    state = _read(file)
    change(state, tensor)
    _write(file, state)


def drop(state: StateDict, tensor: str) -> None:
    """Remove the tensor."""
    del state[tensor]


def add_unexpected(state: StateDict, tensor: str) -> None:
    """Add a tensor that the model does not have."""
    state[unexpected(tensor)] = state[tensor].clone()


def unexpected(tensor: str) -> str:
    """The name of the tensor that `add_unexpected` puts beside another."""
    return f"{tensor}_unexpected"


def scale(state: StateDict, tensor: str) -> None:
    """Change the tensor's values, keeping shape and type."""
    state[tensor] = state[tensor] * 1.5 + 0.25


def spoil(state: StateDict, tensor: str) -> None:
    """Set one of the tensor's numbers to NaN."""
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


def _read(file: Path) -> StateDict:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(file))
    import torch

    return dict(torch.load(file, map_location="cpu", weights_only=True))


def _write(file: Path, state: StateDict) -> None:
    if file.suffix == ".safetensors":
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()  # transformers refuses a file that lost its own
        save_file(state, file, metadata)
        return
    import torch

    torch.save(state, file)
