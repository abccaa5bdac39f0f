"""Identities of image files, by which a later run recognises them without reading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def file_identities(paths: Sequence[Path]) -> list[str]:
    """Name, size and modification time of each file.

    Contents are not read: a resumed run would wait minutes to detect a change that hardly ever
    happens.

    Args:
        paths: existing files.
    """
    stats = ((path.name, path.stat()) for path in paths)
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
