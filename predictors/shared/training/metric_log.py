"""Metrics of every step and every epoch: as JSON lines without times, and for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self, TextIO

from torch.utils.tensorboard import SummaryWriter

from ensembler.files import atomic_write


class MetricLog:
    """A log of JSON lines and of TensorBoard events, both cut back to the resumed step.

    The JSON lines of two runs are equal byte for byte. TensorBoard drops the events that an earlier
    run wrote of repeated steps.
    """

    def __init__(self, path: Path | None, *, steps: int) -> None:
        """Open both files.

        Args:
            path: file of the JSON lines, made if missing; None in processes that do not write.
            steps: number of steps done: lines of later steps, and a torn line, are dropped.
        """
        self._file: TextIO | None = None
        self._events: SummaryWriter | None = None
        if path is None:
            return
        kept = [line for line in _lines(path) if _step(line) <= steps]
        with atomic_write(path) as file:
            file.write("".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._events = SummaryWriter(path.parent, purge_step=steps + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and self._events is not None:
            self._file.close()
            self._events.close()

    def write(self, *, step: int, epoch: int, **metrics: float) -> None:
        """Append a line, and a point to each metric's curve."""
        if self._file is None or self._events is None:
            return
        self._file.write(json.dumps({"step": step, "epoch": epoch} | metrics) + "\n")
        for name, value in metrics.items():
            self._events.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write all events to the disk, before a state is saved."""
        if self._events is not None:
            self._events.flush()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _step(line: str) -> float:
    """The step of a line; infinity for a torn line."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, LookupError, TypeError):
        return float("inf")
