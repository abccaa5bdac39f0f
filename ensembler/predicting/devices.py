"""The devices that a run uses, and their precision."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from typing import Final

from ensembler.errors import InputError
from ensembler.predicting.batches import Precision, check_precision

AUTO: Final = "auto"
_DEVICE: Final = re.compile(r"cpu|mps|cuda(:\d+)?")


def find_devices(given: Sequence[str]) -> tuple[str, ...]:
    """The devices to share the images among.

    Args:
        given: names as torch has them, one as often as processes are to share it; "auto" alone
            stands for every CUDA device there is, or else the CPU.

    Raises:
        InputError: a name is no device's, or the device is not here.
    """
    if tuple(given) == (AUTO,):
        return tuple(f"cuda:{number}" for number in range(_cuda_devices())) or ("cpu",)
    for name in given:
        if not _DEVICE.fullmatch(name):
            raise InputError(f"{name!r} is not a device; give cpu, cuda, cuda:1 or, alone, {AUTO}")
    numbers = [int(name.partition(":")[2] or 0) for name in given if name.startswith("cuda")]
    if numbers and max(numbers) >= (there := _cuda_devices()):
        raise InputError(
            f"device cuda:{max(numbers)} is not here: torch sees {there} CUDA devices; give cpu, or"
            f" leave it to {AUTO}"
        )
    if not given:
        raise InputError(f"no device is named; give cpu, cuda:0 or {AUTO}")
    return tuple(given)


def find_precision(given: str | None, devices: Sequence[str]) -> Precision:
    """The precision asked for, else float16 where all devices are CUDA's and float32 elsewhere.

    Raises:
        InputError: there is none of the name.
    """
    if given is not None:
        return check_precision(given)
    return "float16" if all(name.startswith("cuda") for name in devices) else "float32"


def _cuda_devices() -> int:
    if importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.device_count())
