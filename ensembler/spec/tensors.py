"""The sidecar of a composed spec: its arrays as one safetensors file, named by spec and contents.

Since the name holds the digest, a new spec never replaces the arrays of an old one: a kill between
the two files leaves the old spec with its sidecar, or the new one with its own. Only when the new
one stands do the arrays go that no spec reads any longer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import SpecError
from ensembler.files import atomic_write

FORMAT: Final = {"format": "ensembler-tensors 1"}  # a single key: of two the order is left open

_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Tensors:
    """Named float32 arrays.

    Attributes:
        content: the bytes of their file, kept as they are, so that writing them again changes none.
    """

    content: bytes = field(repr=False)

    @classmethod
    def pack(cls, arrays: Mapping[str, NDArray[np.floating]]) -> Tensors:
        """Pack arrays of any layout, rounded to little-endian float32 in C order."""
        from safetensors.numpy import save

        ready = {name: np.ascontiguousarray(arrays[name], dtype="<f4") for name in sorted(arrays)}
        return cls(save(ready, FORMAT))

    @cached_property
    def sha256(self) -> str:
        """The digest of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """The arrays by name.

        Raises:
            ValueError: the bytes are not a safetensors file, or an array is not of finite float32.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays: dict[str, NDArray[np.float32]] = load(self.content)
        except (SafetensorError, KeyError, TypeError) as error:  # the latter: types NumPy lacks
            raise ValueError(f"it is not whole safetensors: {error}") from error
        for name, array in arrays.items():
            if array.dtype != np.float32:
                raise ValueError(f"tensor {name!r} is {array.dtype}, not float32")
            if not np.isfinite(array).all():
                raise ValueError(f"tensor {name!r} holds NaN or infinity")
        return arrays


def sidecar_path(spec: Path, sha256: str) -> Path:
    """The file that a spec's tensors are written to: beside it, under its name and their digest."""
    return spec.with_name(f"{spec.stem}{_ending(sha256)}")


def find_sidecar(spec: Path, sha256: str) -> Path:
    """The file that a spec's tensors are read from.

    A spec may have been renamed or copied, and at first every sidecar was called
    `ensemble.<digest>.safetensors`: where none bears the spec's name, one of the digest will do.

    Returns:
        A file of that digest in its name; where there is none, the one that ought to be there.
    """
    own = sidecar_path(spec, sha256)
    others = () if own.exists() else spec.parent.glob(f"*{_ending(sha256)}")
    return min((file for file in others if not file.name.startswith(".")), default=own)


def read_tensors(spec: Path, sha256: str) -> Tensors:
    """Read a spec's sidecar.

    Args:
        spec: the spec's file.
        sha256: what the spec says of it.

    Raises:
        SpecError: it is missing, or was changed or truncated.
    """
    file = find_sidecar(spec, sha256)
    try:
        tensors = Tensors(file.read_bytes())
    except OSError as error:
        raise SpecError(
            f"{file} cannot be read ({error.strerror or error}): it holds the matrices of {spec};"
            " copy it from where the spec was written, or restore it with `ensembler fit`"
        ) from error
    if tensors.sha256 != sha256:
        raise SpecError(
            f"{file}: sha256 is {tensors.sha256[:12]}…, {spec} says {sha256[:12]}…: the file was"
            " changed or truncated after it was written; restore it from a copy or write both"
            " again with `ensembler fit`"
        )
    return tensors


def write_tensors(spec: Path, tensors: Tensors) -> None:
    """Write a spec's sidecar; it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(sidecar_path(spec, tensors.sha256)) as file:
        file.write(tensors.content)


def named_tensors(spec: Path) -> str | None:
    """The digest of the sidecar that a file names; None where it is not a composed spec."""
    try:
        named = json.loads(spec.read_bytes())["blend"]["tensors"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return named if isinstance(named, str) and _SHA256.fullmatch(named) else None


def drop_tensors(spec: Path, sha256: str) -> None:
    """Remove the sidecar that a spec had before it was replaced, unless another one reads it.

    Args:
        spec: the spec's file, which no longer names it.
        sha256: what it named.
    """
    with suppress(OSError):  # what cannot be looked at, or removed, stays
        dropped = find_sidecar(spec, sha256)
        beside = [path for path in spec.parent.iterdir() if path.is_file()]
        named = (find_sidecar(path, sha256) for path in beside if _may_name(path, sha256))
        if dropped not in named:
            dropped.unlink(missing_ok=True)


def _may_name(file: Path, sha256: str) -> bool:
    """Whether a file is JSON, under whatever name, that holds a digest."""
    with file.open("rb") as content:
        return content.read(1) == b"{" and sha256.encode() in content.read()


def _ending(sha256: str) -> str:
    """The ending of all sidecars' names of a digest."""
    return f".{sha256[:12]}.safetensors"
