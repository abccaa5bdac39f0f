"""What installed packages register under our entry-point groups, by name.

A name is the only thing that a file may say of code: nothing else named in a file is imported, and
built-ins come in by the same door as anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ensembler.errors import PredictorError, unknown_name

PREDICTORS: Final = "ensembler.predictors"


def registered(group: str) -> Mapping[str, EntryPoint]:
    """The plug-ins of a group, by name, in alphabetical order.

    Args:
        group: an entry-point group.

    Raises:
        PredictorError: two packages register different things under one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise PredictorError(
                f"{entry.name!r} is registered twice under {group}: by {package_of(other)} as"
                f" {other.value} and by {package_of(entry)} as {entry.value}; uninstall one of them"
            )
    return found


def load_plugin(group: str, name: str, kind: str) -> object:
    """Import what is registered under a name.

    Args:
        group: an entry-point group.
        name: as registered.
        kind: what a message calls it, as in "predictor".

    Raises:
        PredictorError: nobody registers the name, or its package cannot be imported.
    """
    found = registered(group)
    if name not in found:
        raise PredictorError(
            f"{unknown_name(kind, name, found)}; `ensembler predictors list` shows what is"
            " installed"
        )
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise PredictorError(
            f"{kind} {name!r} of {package_of(found[name])} cannot be imported: {error}"
        ) from error


def package_of(entry: EntryPoint) -> str:
    """The name of the distribution that registers a plug-in."""
    return entry.dist.name if entry.dist is not None else "an unknown package"
