"""Adapters by name, and the packages that they need to load a model."""

from __future__ import annotations

import importlib.util
import shlex
from typing import cast

from ensembler.errors import PredictorError
from ensembler.plugins import PREDICTORS, load_plugin
from ensembler.predicting.contract import Adapter


def find_adapter(name: str) -> type[Adapter]:
    """The adapter registered under a name; its model libraries are not imported yet.

    Args:
        name: the name that `ensembler predictors list` shows.

    Raises:
        PredictorError: no package registers the name, or the registered object is not an adapter.
    """
    adapter = load_plugin(PREDICTORS, name)
    lacking = [
        attribute
        for attribute in ("Config", "roles", "needs", "install", "load")
        if not hasattr(adapter, attribute)
    ]
    if lacking:
        raise PredictorError(
            f"the plug-in registered as predictor {name!r} is not an adapter: it lacks"
            f" {', '.join(lacking)}; see ensembler.predicting.contract.Adapter"
        )
    return cast("type[Adapter]", adapter)


def missing_packages(adapter: type[Adapter]) -> list[str]:
    """The modules that the adapter needs and this environment lacks."""
    return [name for name in adapter.needs if importlib.util.find_spec(name) is None]


def pip_line(adapter: type[Adapter]) -> str:
    """The command that installs what the adapter needs, quoted for a shell."""
    return f"pip install {shlex.join(shlex.split(adapter.install))}"


def check_installed(name: str, adapter: type[Adapter]) -> None:
    """Check that the packages of an adapter are installed.

    Raises:
        PredictorError: some are missing; the message has the pip line that installs them.
    """
    missing = missing_packages(adapter)
    if missing:
        raise PredictorError(
            f"predictor {name!r} needs {', '.join(missing)}, not installed here:"
            f" {pip_line(adapter)}"
        )
