"""What a blender is made of: itself, what it stands on, what it blends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from ensembler.blenders.contract import Blender
from ensembler.blenders.gains import Gains


def parts_of(blender: Blender) -> Iterator[Blender]:
    """A blender and all that it stands on or blends, the outermost first."""
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
