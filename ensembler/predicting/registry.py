"""Adapters by name, and what must be installed before one can load a model."""

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
        name: as `ensembler predictors list` shows it.

    Raises:
        PredictorError: nobody registers the name, or what is registered is no adapter.
    """
    found = load_plugin(PREDICTORS, name)
    lacking = [
        attribute
        for attribute in ("Config", "roles", "needs", "install", "load")
        if not hasattr(found, attribute)
    ]
    if lacking:
        raise PredictorError(
            f"what is registered as predictor {name!r} is no adapter: it lacks"
            f" {', '.join(lacking)}; see ensembler.predicting.contract.Adapter"
        )
    return cast("type[Adapter]", found)


def missing_packages(adapter: type[Adapter]) -> list[str]:
    """The modules that the adapter needs and this environment lacks."""
    return [name for name in adapter.needs if importlib.util.find_spec(name) is None]


def pip_line(adapter: type[Adapter]) -> str:
    """The command that installs what the adapter needs, quoted for a shell."""
    return f"pip install {shlex.join(shlex.split(adapter.install))}"


def check_installed(name: str, adapter: type[Adapter]) -> None:
    """Refuse an adapter whose packages are missing.

    Raises:
        PredictorError: with the pip line that installs them.
    """
    missing = missing_packages(adapter)
    if missing:
        raise PredictorError(
            f"predictor {name!r} needs {', '.join(missing)}, not installed here:"
            f" {pip_line(adapter)}"
        )
