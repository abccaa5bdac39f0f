"""Every error a user can cause, one tree; the command line turns each into one paragraph.

EnsemblerError
├── StoreError       a store, or a file on its way into one
├── SpecError        a frozen spec
├── StudyError       a study definition or its recorded run
├── PredictorError   a predictor: its name, config, checkpoints
└── InputError       an argument, or a file beside these
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnsemblerError(Exception):
    """What was found, where, and what to do about it."""


class StoreError(EnsemblerError):
    """An OOF store, or a file on its way into one, is not what it should be."""


class SpecError(EnsemblerError):
    """A frozen spec was changed, is of an unknown version, or does not fit what it meets."""


class StudyError(EnsemblerError):
    """A study definition or a recorded study cannot be used."""


class PredictorError(EnsemblerError):
    """A predictor is not installed, or its config or checkpoints cannot be used."""


class InputError(EnsemblerError):
    """An argument, or a file beside store, spec and study, cannot be used."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name nobody knows: the nearest known spelling, else all of them.

    Args:
        kind: what the name should have named, as in "member".
        name: what was asked for.
        known: the names that exist.

    Returns:
        One sentence without a full stop.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"no {kind} named {name!r}; did you mean {close[0]!r}?"
    return f"no {kind} named {name!r}; known: {', '.join(names) or 'none'}"


def first_few(items: Iterable[object], limit: int = 5) -> str:
    """The first items of a long list as text, with the number of those left out.

    Args:
        items: what to list.
        limit: how many are spelt out.

    Returns:
        "a, b, c" or "a, b, c and 12 more".
    """
    listed = [str(item) for item in items]
    shown = ", ".join(listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"
