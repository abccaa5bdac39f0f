"""The list of registered predictors and whether they can run here; no model library is imported."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from ensembler.errors import PredictorError
from ensembler.plugins import PREDICTORS, package_of, registered
from ensembler.predicting.registry import find_adapter, missing_packages, pip_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One registered predictor.

    Attributes:
        name: the name that definitions use.
        package: the distribution that registers it.
        about: the first line of its adapter's docstring.
        missing: modules that it needs and this environment lacks.
        install: the command that installs them; None where none is missing.
        broken: why its adapter cannot be imported; None where it can.
    """

    name: str
    package: str
    about: str
    missing: tuple[str, ...] = ()
    install: str | None = None
    broken: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the predictor can be loaded here."""
        return not self.missing and self.broken is None


def list_predictors() -> tuple[Listed, ...]:
    """All registered predictors, by name; one of a broken package is listed with the reason.

    Raises:
        PredictorError: two packages register different things under one name.
    """
    return tuple(map(list_predictor, registered(PREDICTORS)))


def list_predictor(name: str) -> Listed:
    """A registered predictor; one of a broken package has the reason.

    Args:
        name: the registered name.
    """
    package = package_of(registered(PREDICTORS)[name])
    try:
        adapter = find_adapter(name)
    except PredictorError as error:
        return Listed(name=name, package=package, about="", broken=str(error))
    missing = tuple(missing_packages(adapter))
    return Listed(
        name=name,
        package=package,
        about=(inspect.getdoc(adapter) or "").partition("\n")[0],
        missing=missing,
        install=pip_line(adapter) if missing else None,
    )
