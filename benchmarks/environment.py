"""The machine and the package versions that the numbers were measured with."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "numpy",
    "scipy",
    "optuna",
    "pyarrow",
    "numba",
    "pandas",
    "scikit-learn",
    "cmaes",
    "amltk",
    "autogluon.core",
    "hillclimbers",
    "torch",
    "timm",
    "accelerate",
    "faiss-cpu",
    "sentence-transformers",
)


class NotInstalledError(Exception):
    """A benchmark's packages are not installed; the message says which and how to install them."""


def machine() -> dict[str, object]:
    """The processor's name, the number of cores, and the GPUs that a benchmark could use."""
    return {"cpu": _cpu(), "cores": os.cpu_count(), "gpus": _gpus()}


def describe_machine() -> str:
    """The machine in one line of text."""
    return " · ".join([f"{_cpu()}, {os.cpu_count()} cores", *_gpus()])


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that are installed."""
    numbers = {package: number for package in PACKAGES if (number := _version(package))}
    return {"python": platform.python_version(), **numbers}


def installed(package: str) -> bool:
    """Whether a package is installed, by the name of its distribution."""
    return _version(package) is not None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpus() -> list[str]:
    """The names of CUDA devices; none before a benchmark loads torch, which takes seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    cuda = torch.version.cuda
    devices = range(torch.cuda.device_count())
    return [f"{torch.cuda.get_device_name(device)}, CUDA {cuda}" for device in devices]


def _cpu() -> str:
    """The processor's name: from /proc/cpuinfo on Linux, elsewhere from `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
