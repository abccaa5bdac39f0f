"""What the numbers were measured on, and which contestants are there at all."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("numpy", "scipy", "optuna", "pyarrow", "numba"),
    *("pandas", "scikit-learn", "cmaes", "amltk", "autogluon.core", "hillclimbers"),
)


class NotInstalledError(Exception):
    """A whole benchmark's packages are not installed; says which, and what installs them."""


def machine() -> dict[str, object]:
    """The processor's name and how many cores there are."""
    return {"cpu": _cpu(), "cores": os.cpu_count()}


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that are installed."""
    found = {package: number for package in PACKAGES if (number := _version(package))}
    return {"python": platform.python_version(), **found}


def installed(package: str) -> bool:
    """Whether a package is installed, by the name it is published under."""
    return _version(package) is not None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Linux keeps the processor's name in a file; elsewhere the platform's guess has to do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
