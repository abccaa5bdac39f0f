"""Blenders by name, alone or one standing on another, with their options.

    greedy:bags=50        gated+gains:basis=targets+ridge        nested(greedy, weighted+kernel)

reads from left to right: each name stands on what is before it, and a blender that stands on
another stands on `weighted` where nothing is. Options follow a colon as `key=value`, by comma.
What blends other blends has them in parentheses, each again such a text.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Protocol, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ensembler.blenders.contract import Blender
from ensembler.blenders.spelling import BASE, CHILDREN, TEXT
from ensembler.errors import InputError, unknown_name
from ensembler.plugins import BLENDERS, load_plugin, registered

FIRST = "weighted"  # what the first of a chain stands on
DEEPEST = 8  # parentheses in one another: no tree of blends is worth more


class BlenderType(Protocol):
    """A registered blender: called with options, or without any."""

    def __call__(self, **options: Any) -> Blender:  # noqa: ANN401 - each blender has its own
        """A blender."""


def blender_names() -> tuple[str, ...]:
    """The names of all registered blenders, in alphabetical order."""
    return tuple(registered(BLENDERS))


def find_blender(name: str) -> BlenderType:
    """The blender registered under a name.

    Raises:
        InputError: nobody registers the name, or what is registered is not a blender.
    """
    found = load_plugin(BLENDERS, name)
    needed = ("name", "properties", "fallback", "fit")
    lacking = [attribute for attribute in needed if not hasattr(found, attribute)]
    if lacking or not is_dataclass(found) or found.__hash__ is None:
        lacks = f"it lacks {', '.join(lacking)}" if lacking else "it is not a frozen dataclass"
        raise InputError(
            f"what is registered as blender {name!r} is not one: {lacks}; see"
            " ensembler.blenders.contract.Blender"
        )
    return cast("BlenderType", found)


def parse_blender(text: str) -> Blender:
    """The blender that a text names.

    Args:
        text: as the module's head shows. A blender's own `name` reads back as the blender, save for
            options that no text can be, as the weights of `fixed` are.

    Raises:
        InputError: a name or an option is unknown, a value is not one, or a blender that stands on
            nothing comes after another.
    """
    first, *others = _split(text, "+")
    blender = _stood(first, None)
    for part in others:
        blender = _stood(part, blender)
    return blender


def _stood(part: str, below: Blender | None) -> Blender:
    """The blender of one part of a chain, on what is below it."""
    head, *options = _split(part, ":")
    name, opened, inside = (piece.strip() for piece in head.partition("("))
    found = find_blender(name)
    given = _options(name, found, ":".join(options))
    if opened:
        given[CHILDREN] = _children(name, found, inside)
    if BASE in _fields(found):
        given[BASE] = find_blender(FIRST)() if below is None else below
    blender = found(**given)
    # An option may leave out the base, as ridge:alone=True does; the name tells.
    if below is not None and not blender.name.startswith(f"{below.name}+"):
        raise InputError(
            f"blender {blender.name!r} stands on no other: put it first, or leave out"
            f" {below.name!r} before it"
        )
    return blender


def _children(name: str, blender: BlenderType, inside: str) -> tuple[Blender, ...]:
    """The blenders of `…)`."""
    if CHILDREN not in _fields(blender):
        raise InputError(f"blender {name!r} blends no other blends: leave out its parentheses")
    if not inside.endswith(")"):
        raise InputError(
            f"blender {name!r}: after its parentheses comes {inside[inside.rindex(')') + 1 :]!r};"
            " put : before options, + before the next of a chain"
        )
    if not inside[:-1].strip():
        raise InputError(
            f"blender {name!r}: there is nothing in its parentheses; name the blenders that it is"
            f" to blend, as in {name}(greedy, weighted+kernel), or leave the parentheses out"
        )
    return tuple(parse_blender(child) for child in _split(inside[:-1], ","))


def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that no parentheses hold.

    Raises:
        InputError: parentheses do not match, or too many are in one another.
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if not 0 <= depth <= DEEPEST:
            break
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise InputError(
            f"blender {text!r}: parentheses do not match or are more than {DEEPEST} deep; write it"
            " as in nested(greedy, weighted+kernel)"
        )
    return parts


def _options(name: str, blender: BlenderType, text: str) -> dict[str, Any]:
    """The values of `key=value,…` as the blender's fields have their types."""
    types = get_type_hints(blender) if text else {}
    known = [
        option.name
        for option in fields(cast("Any", blender))
        if option.name != BASE and option.metadata.get(TEXT, True)
    ]
    found: dict[str, Any] = {}
    for option in filter(None, text.split(",")):
        key, _, value = option.partition("=")
        if key not in known:
            raise InputError(f"blender {name!r}: {unknown_name('option', key, known)}")
        try:
            found[key] = TypeAdapter(types[key]).validate_strings(value)
        except ValidationError as error:
            why = "; ".join(dict.fromkeys(fault["msg"] for fault in error.errors()))
            raise InputError(f"blender {name!r}: {key}={value!r} is not accepted: {why}") from error
    return found


def _fields(blender: BlenderType) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast("Any", blender)))
