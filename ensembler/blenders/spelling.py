"""A blender's options as text, as `parse_blender` reads them back."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BASE = "base"  # the field of a blender that stands on another
CHILDREN = "children"  # the field of one that blends others
TEXT = "text"  # in a field's metadata, False: no text gives this option


def spell(name: str, blender: DataclassInstance) -> str:
    """A blender's own name with the options that are not the default's, as in `name:key=value`.

    Args:
        name: as registered.
        blender: a dataclass of plain options, each with a default.
    """
    plain = type(blender)()
    changed = [
        option.name
        for option in fields(blender)
        if option.name != BASE and getattr(blender, option.name) != getattr(plain, option.name)
    ]
    options = ",".join(f"{key}={getattr(blender, key)}" for key in changed)
    return f"{name}:{options}" if options else name
