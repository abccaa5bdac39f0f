"""A tiny adapter for tests: mean and spread of an image's colours times a matrix from a file.

It is no model, but it is loaded and run as one, in the run's own worker processes. What shall go
wrong is read from the JSON file that MEAN_COLOUR_FAULTS names, by the member's `label`, so that a
fault can come and go while the member stays the same.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Role
from ensembler.work import entry, notes


class MeanColourConfig(Frozen):
    label: str
    size: int = 4


class MeanColour:
    """Mean colours."""

    Config = MeanColourConfig
    roles = {"weights": Role("a matrix (.npy)")}  # noqa: RUF012 - as the contract has it
    needs = ()
    install = "mean-colour"

    @classmethod
    def load(
        cls,
        config: MeanColourConfig,
        files: Mapping[str, Path],
        *,
        device: str,  # noqa: ARG003 - arithmetic is the CPU's
    ) -> Predictor:
        faults = json.loads(Path(os.environ["MEAN_COLOUR_FAULTS"]).read_text())
        return Predictor(
            np.load(files["weights"], allow_pickle=False), config, faults.get(config.label, {})
        )


class Predictor:
    def __init__(
        self, matrix: NDArray[np.float32], config: MeanColourConfig, faults: Mapping[str, Any]
    ) -> None:
        self.preprocess = Preprocess(
            height=config.size, width=config.size + int("other_size" in faults)
        )
        self._matrix, self._faults = matrix, faults
        self._batches = itertools.count()
        self.dim = matrix.shape[1]
        if "kill_run_at_write" in faults:
            _kill_at_write(faults["kill_run_at_write"])
        if "disk_bytes" in faults:
            _fill_disk(faults["disk_bytes"])

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._go_wrong(next(self._batches), len(images))
        vectors = features(images) @ self._matrix
        # What shares a batch moves the last bits, as it does on a real device.
        vectors = vectors + 1e-6 * vectors.mean(axis=0) if len(images) else vectors
        if "nan_below" in self._faults:
            vectors[images.mean(axis=(1, 2, 3)) < self._faults["nan_below"]] = np.nan
        if "nan_at" in self._faults:
            vectors[self._faults["nan_at"] :] = np.nan
        return np.where("nan" in self._faults, np.nan, vectors).astype(np.float32)

    def _go_wrong(self, batch: int, images: int) -> None:
        if batch == self._faults.get("exit_at"):
            os._exit(7)
        if batch == self._faults.get("killed_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if batch == self._faults.get("hangs_at"):
            signal.pause()
        if batch == self._faults.get("raises_at"):
            raise ArithmeticError("the tower fell")
        if images > self._faults.get("memory", images):
            raise MemoryError
        if images > 1 and batch in self._faults.get("no_memory_at", ()):
            raise MemoryError


def features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 6) mean and spread of each channel, in 0..1."""
    pixels = images.reshape(len(images), -1, 3) / 255.0
    if not len(images):
        return np.empty((0, 6))
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)


def _kill_at_write(number: int) -> None:
    """SIGKILL this process and its parent at a write of the work store, before it is done."""
    write_all, count = vars(entry)["write_all"], itertools.count()

    def counted(descriptor: int, content: bytes) -> None:
        if next(count) == number:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        write_all(descriptor, content)

    for module in (entry, notes):
        vars(module)["write_all"] = counted


def _fill_disk(size: int) -> None:
    """No file of this process may grow past a size: a write there is an OSError."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
