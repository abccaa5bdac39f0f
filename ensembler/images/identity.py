"""By what an image's file is known again, without reading it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def file_identities(paths: Sequence[Path]) -> list[str]:
    """Name, size and time of change of each file.

    Contents are not read: a run that goes on would wait minutes for what hardly ever changes.

    Args:
        paths: files that are there.
    """
    stats = ((path.name, path.stat()) for path in paths)
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
