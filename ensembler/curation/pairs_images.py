"""Location of a pair's image: its path below a folder, or its id and a suffix."""

from __future__ import annotations

import os.path
from pathlib import Path, PurePosixPath
from typing import Final

from ensembler.errors import InputError
from ensembler.images.decode import ImageError
from ensembler.images.find import SUFFIXES

WORKERS: Final = 4  # threads that decode pairs' images, where no other number is asked for


def check_folder(folder: Path) -> None:
    """Refuse a path that is not a folder, before images are read.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder of images {folder}; name the folder that holds them")


def locate(folder: Path, image: str) -> Path:
    """Find the file of a pair's image.

    Args:
        folder: of the images; folders inside it are reached by path, never searched.
        image: a path below the folder with its suffix or without, as in "part-000001/a.png",
            "92e911621".

    Raises:
        ImageError: there is no such file, there are several (`a.png`, `a.jpg`), or the path leads
            out of the folder.
    """
    below = PurePosixPath(image)
    place = folder / below
    if below.is_absolute() or ".." in below.parts or not below.parts:
        raise ImageError(place, "is not below the folder of images")
    if os.path.isfile(place):  # noqa: PTH113 - Path.is_file raises for names that are too long
        return place
    for suffixes in (sorted(SUFFIXES), sorted(suffix.upper() for suffix in SUFFIXES)):
        named = [Path(f"{place}{suffix}") for suffix in suffixes]
        found = [file for file in named if os.path.isfile(file)]  # noqa: PTH113 - as above
        if len(found) > 1:
            raise ImageError(place, f"is {' and '.join(file.name for file in found)}; keep one")
        if found:
            return found[0]
    raise ImageError(place, "is not there")
