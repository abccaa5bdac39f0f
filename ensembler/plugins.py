"""Plug-ins by name: what installed packages register under our entry-point groups.

A registered name is the only way for a file to refer to code: nothing else that a file names is
imported. Built-ins are registered like anybody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple

from ensembler.errors import EnsemblerError, InputError, PredictorError, unknown_name

PREDICTORS: Final = "ensembler.predictors"
BLENDERS: Final = "ensembler.blenders"


class _Kind(NamedTuple):
    """The words and the error class for messages about an entry-point group."""

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
        InputError: the same, for blenders.
    """
    plugins: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        other = plugins.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise _KINDS[group].error(
                f"{entry.name!r} is registered twice under {group}: by {package_of(other)} as"
                f" {other.value} and by {package_of(entry)} as {entry.value}; uninstall one of them"
            )
    return plugins


def load_plugin(group: str, name: str) -> object:
    """Import the plug-in that is registered under a name.

    Args:
        group: PREDICTORS or BLENDERS.
        name: the registered name.

    Raises:
        PredictorError: no package registers the name, or its package cannot be imported.
        InputError: the same, for blenders.
    """
    plugins, kind = registered(group), _KINDS[group]
    if name not in plugins:
        raise kind.error(f"{unknown_name(kind.noun, name, plugins)}{kind.hint}")
    try:
        return plugins[name].load()
    except (ImportError, AttributeError) as error:
        raise kind.error(
            f"{kind.noun} {name!r} of {package_of(plugins[name])} cannot be imported: {error}"
        ) from error


def package_of(entry: EntryPoint) -> str:
    """The name of the distribution that registers a plug-in."""
    return entry.dist.name if entry.dist is not None else "an unknown package"
