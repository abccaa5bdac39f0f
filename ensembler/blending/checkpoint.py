"""How far an unfinished build has come: what a later one needs to go on from there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensembler.arrays import read_arrays
from ensembler.blending.sources import Sums
from ensembler.files import BROKEN, atomic_write

FILE = "checkpoint.npz"


@dataclass(slots=True)
class Checkpoint:
    """Chunks that both passes have finished, always the first so many.

    Attributes:
        summed: chunks in `sums`.
        filled: chunks whose statistics are on the disk.
        sums: what the first pass has added up.
    """

    summed: int
    filled: int
    sums: Sums

    def save(self, folder: Path) -> None:
        """Write the checkpoint once all that it counts as filled is safe from a loss of power."""
        for file in folder.glob("*.npy"):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        with atomic_write(folder / FILE) as opened:
            np.savez(opened, done=np.array([self.summed, self.filled]), **self.sums._asdict())


def load_checkpoint(folder: Path, nothing: Sums) -> Checkpoint:
    """The checkpoint that an unfinished build left.

    Args:
        folder: where it was building.
        nothing: the sums over no rows, for their shapes.

    Returns:
        The checkpoint; one with nothing done where there is none, or a broken one.
    """
    try:
        saved = read_arrays(folder / FILE)
        sums = Sums(**{name: saved[name] for name in Sums._fields})
        summed, filled = saved["done"].tolist()
    except BROKEN:
        return Checkpoint(0, 0, nothing)
    fits = all(a.shape == b.shape for a, b in zip(sums, nothing, strict=True))
    return Checkpoint(summed, filled, sums) if fits else Checkpoint(0, 0, nothing)
