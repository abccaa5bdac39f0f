"""Settings of a run over images: devices, precision, folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensembler.errors import InputError
from ensembler.images.find import ImageFiles
from ensembler.inference.messages import Setup
from ensembler.predicting.devices import AUTO, find_devices, find_precision

MOST_THREADS: Final = 8  # that decode for a device: more wait for it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run over images, which do not change what is blended.

    Attributes:
        checkpoints: folders to look for checkpoints in, before those that ENSEMBLER_CHECKPOINTS
            names.
        devices: as torch names them, one process each, which share the images; "auto" alone takes
            every CUDA device, or else the CPU.
        batch: images at once; None takes what an earlier run recorded, or else probes.
        precision: float32, float16 or bfloat16; None takes float16 on CUDA and float32 elsewhere.
        workers: threads for each device that decode; None takes the cores there are.
        work: the folder that vectors are kept in, so that a run goes on where another stopped; None
            takes one beside `out`, or a temporary one.
        image_cache: a folder to keep resized images in; None keeps those that several passes share,
            and only while they run, in the work folder.
    """

    checkpoints: Sequence[str | Path] = ()
    devices: Sequence[str] = (AUTO,)
    batch: int | None = None
    precision: str | None = None
    workers: int | None = None
    work: str | Path | None = None
    image_cache: str | Path | None = None


def make_setups(settings: Settings, files: ImageFiles) -> list[Setup]:
    """The first message to each worker.

    Args:
        settings: of the run.
        files: the images.

    Raises:
        InputError: a number is below 1, or a device or precision is not to be had.
    """
    for name, number in (("batch", settings.batch), ("workers", settings.workers)):
        if number is not None and number < 1:
            raise InputError(f"{name} = {number} must be at least 1")
    devices = find_devices(settings.devices)
    cores = max(1, (os.cpu_count() or 1) // len(devices))
    return [
        Setup(
            images=tuple(str(path.absolute()) for path in files.paths),
            device=device,
            precision=find_precision(settings.precision, devices),
            threads=settings.workers or min(MOST_THREADS, cores),
        )
        for device in devices
    ]
