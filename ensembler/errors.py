"""The tree of errors that a user can cause; the command line prints each as one paragraph.

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
    """Base of all user errors: says what was found, where, and what to do about it."""


class StoreError(EnsemblerError):
    """An OOF store, or a file on its way into one, is not what it should be."""


class SpecError(EnsemblerError):
    """A frozen spec was changed, has an unknown version, or does not fit the other inputs."""


class StudyError(EnsemblerError):
    """A study definition or a recorded study cannot be used."""


class PredictorError(EnsemblerError):
    """A predictor is not installed, or its config or checkpoints cannot be used."""


class InputError(EnsemblerError):
    """An argument, or a file beside store, spec and study, cannot be used."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """A message for an unknown name that offers the nearest known one, else lists all of them.

    Args:
        kind: the kind of thing named, such as "member".
        name: the unknown name.
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
    """The first items of a long list as text, with the number of the others.

    Args:
        items: the list.
        limit: how many are spelt out.

    Returns:
        "a, b, c" or "a, b, c and 12 more".
    """
    listed = [str(item) for item in items]
    shown = ", ".join(listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"


def counted(number: int, noun: str) -> str:
    """A number of things, as in "1 row" and "2 rows".

    Args:
        number: how many.
        noun: in the singular; its plural ends in s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
