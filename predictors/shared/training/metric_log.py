"""Metrics as JSON lines: one for every step and every epoch; no times, so that runs compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self, TextIO

from ensembler.files import atomic_write


class MetricLog:
    """Appends to a file, which is told first how much of it still counts."""

    def __init__(self, path: Path | None, *, steps: int) -> None:
        """Open it.

        Args:
            path: the file, made where there is none; None in processes that do not write.
            steps: how many are done: lines of later ones, and a torn one, are dropped.
        """
        self._file: TextIO | None = None
        if path is None:
            return
        kept = [line for line in _lines(path) if _step(line) <= steps]
        with atomic_write(path) as file:
            file.write("".join(f"{line}\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, **metrics: float) -> None:
        """Append a line, which names its `step`."""
        if self._file is not None:
            self._file.write(json.dumps(metrics) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _step(line: str) -> float:
    """The step that a line is of; of a torn line, none that counts."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, LookupError, TypeError):
        return float("inf")
