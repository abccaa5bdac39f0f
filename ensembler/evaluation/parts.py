"""The parts of a blender: itself, its base, the blenders that it blends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from ensembler.blenders.contract import Blender
from ensembler.blenders.gains import Gains
from ensembler.files import sha256_arrays


def parts_of(blender: Blender) -> Iterator[Blender]:
    """A blender, its bases and all that it blends, the outermost first."""
    yield blender
    for value in _options(blender).values():
        for part in value if isinstance(value, tuple) else (value,):
            if _is_blender(part):
                yield from parts_of(part)


def reads_corpus(blender: Blender) -> bool:
    """Whether a fit looks at the corpus where there is one."""
    gains = (part for part in parts_of(blender) if isinstance(part, Gains))
    return any(part.basis in (None, "corpus") for part in gains)


def without_corpus(blender: Blender) -> Blender:
    """The same blender, blind to a corpus that it would take if there were one."""
    settled: Blender = _settled(blender)
    return settled


def as_plain_data(option: Any) -> object:  # noqa: ANN401 - a blender, or any option of one
    """A blender's class and all its options as JSON can hold them.

    Its name and its repr may leave options out; here each stands, and differs where blenders do.
    """
    if is_dataclass(option) and not isinstance(option, type):
        kind = type(option)
        options = {name: as_plain_data(value) for name, value in _options(option).items()}
        return {"kind": f"{kind.__module__}.{kind.__qualname__}", "options": options}
    if isinstance(option, Mapping):
        return {repr(key): as_plain_data(value) for key, value in option.items()}
    if isinstance(option, tuple | list):
        return [as_plain_data(part) for part in option]
    if isinstance(option, np.ndarray):  # the repr of a long one is mostly dots
        return sha256_arrays(np.atleast_1d(option))
    return repr(option)


def _settled(value: Any) -> Any:  # noqa: ANN401 - a blender, a tuple of them, or any option
    if isinstance(value, tuple):
        return tuple(map(_settled, value))
    if not _is_blender(value):
        return value
    changed = {name: _settled(option) for name, option in _options(value).items()}
    if isinstance(value, Gains) and value.basis is None:
        changed["basis"] = "targets"
    return replace(value, **changed)


def _options(blender: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    return {field.name: getattr(blender, field.name) for field in fields(blender) if field.init}


def _is_blender(value: object) -> bool:
    return is_dataclass(value) and not isinstance(value, type) and hasattr(value, "fit")
