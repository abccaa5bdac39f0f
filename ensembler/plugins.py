"""What installed packages register under our entry-point groups, by name.

A name is the only thing that a file may say of code: nothing else named in a file is imported, and
built-ins come in by the same door as anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple

from ensembler.errors import EnsemblerError, InputError, PredictorError, unknown_name

PREDICTORS: Final = "ensembler.predictors"
BLENDERS: Final = "ensembler.blenders"


class _Kind(NamedTuple):
    """How messages speak of what a group holds."""

    noun: str
    error: type[EnsemblerError]
    hint: str  # where to look when a name is unknown


_KINDS: Final = {
    PREDICTORS: _Kind(
        "predictor", PredictorError, "; `ensembler predictors list` shows what is installed"
    ),
    BLENDERS: _Kind("blender", InputError, ""),
}


def registered(group: str) -> Mapping[str, EntryPoint]:
    """The plug-ins of a group, by name, in alphabetical order.

    Args:
        group: PREDICTORS or BLENDERS.

    Raises:
        PredictorError: two packages register different predictors under one name.
        InputError: the same of blenders.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise _KINDS[group].error(
                f"{entry.name!r} is registered twice under {group}: by {package_of(other)} as"
                f" {other.value} and by {package_of(entry)} as {entry.value}; uninstall one of them"
            )
    return found


def load_plugin(group: str, name: str) -> object:
    """Import what is registered under a name.

    Args:
        group: PREDICTORS or BLENDERS.
        name: as registered.

    Raises:
        PredictorError: nobody registers the name, or its package cannot be imported.
        InputError: the same of blenders.
    """
    found, kind = registered(group), _KINDS[group]
    if name not in found:
        raise kind.error(f"{unknown_name(kind.noun, name, found)}{kind.hint}")
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise kind.error(
            f"{kind.noun} {name!r} of {package_of(found[name])} cannot be imported: {error}"
        ) from error


def package_of(entry: EntryPoint) -> str:
    """The name of the distribution that registers a plug-in."""
    return entry.dist.name if entry.dist is not None else "an unknown package"
