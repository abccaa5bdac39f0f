"""Why the ids of two files do not match: what programs do to ids on their way through a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

_ENDING: Final = re.compile(r"\.(png|jpe?g|webp)$", re.IGNORECASE)
_NUMBERS: Final = "write the ids as text, not as numbers"


def _stem(id_: str) -> str:
    """The name of the file that a path leads to, without its ending."""
    return _ENDING.sub("", re.split(r"[/\\]", id_)[-1])


# Each cause: what it takes to undo it, what it is, and the remedy.
_CAUSES: Final[tuple[tuple[Callable[[str], str], str, str], ...]] = (
    (lambda id_: id_.removesuffix(".0"), "a trailing .0", _NUMBERS),
    (lambda id_: _ENDING.sub("", id_), "a file extension", "leave it out of both files"),
    (_stem, "the folders of a path", "write file names alone"),
    (str.strip, "blanks around them", "take them off"),
    (str.casefold, "upper and lower case", "spell them alike in both files"),
    (lambda id_: id_.lstrip("0"), "leading zeros", _NUMBERS),
)


def common_cause(unknown: Iterable[str], known: Iterable[str]) -> str:
    """The one thing that sets all of some unknown ids apart from known ones, if there is one.

    Args:
        unknown: ids that no sample has.
        known: the samples' ids.

    Returns:
        Part of a sentence that begins with a blank, with the remedy; "" where there is no single
        cause.
    """
    unknown, known = set(unknown), set(known)
    for undo, what, remedy in _CAUSES:
        if set(map(undo, unknown)) <= set(map(undo, known)):
            return f" (all of them would match but for {what}: {remedy})"
    return ""
