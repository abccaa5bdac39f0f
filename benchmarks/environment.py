"""What the numbers were measured on, and which contestants are there at all."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("numpy", "scipy", "optuna", "pyarrow", "numba"),
    *("pandas", "scikit-learn", "cmaes", "amltk", "autogluon.core", "hillclimbers"),
    *("torch", "timm", "accelerate", "faiss-cpu", "sentence-transformers"),
)


class NotInstalledError(Exception):
    """A whole benchmark's packages are not installed; says which, and what installs them."""


def machine() -> dict[str, object]:
    """The processor's name, how many cores there are, and the GPUs that a benchmark could use."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "gpus": _gpus()}


def describe_machine() -> str:
    """The same in a line."""
    return " · ".join([f"{_cpu()}, {os.cpu_count()} cores", *_gpus()])


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


def _gpus() -> list[str]:
    """Names of CUDA devices; none where no benchmark has loaded torch, which takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    cuda = torch.version.cuda
    devices = range(torch.cuda.device_count())
    return [f"{torch.cuda.get_device_name(device)}, CUDA {cuda}" for device in devices]


def _cpu() -> str:
    """Linux keeps the processor's name in a file; elsewhere the platform's guess has to do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
