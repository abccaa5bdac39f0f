"""Work folders that a later run of the same command resumes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from ensembler.arrays import map_array
from ensembler.errors import InputError
from ensembler.files import BROKEN, atomic_write, canonical_json, is_full, locked

RECIPE: Final = "recipe.json"


@contextmanager
def resumed_work(folder: Path, recipe: Mapping[str, object]) -> Iterator[None]:
    """Lock a work folder for one run, and only for runs with the same recipe.

    Args:
        folder: made where it is not there; what is in it is the block's affair.
        recipe: all that decides what is made, by the words that name it in a message; JSON.

    Raises:
        InputError: the folder was begun with another recipe, holds other files, another run is at
            work in it, or it cannot be written, in the block too.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, wait=False):
            _begin(folder, recipe)
            yield
    except BlockingIOError as error:
        raise InputError(f"another run is using {folder}; wait until it ends") from error
    except OSError as error:
        what = f"{folder} cannot be written ({error.strerror or error})"
        if is_full(error):
            what += "; finished parts are kept: free space and run the same command again"
        raise InputError(what) from error


def map_if_whole(file: Path) -> NDArray[Any] | None:
    """Map an array that an earlier run wrote; None where it is missing or truncated."""
    try:
        return map_array(file)
    except BROKEN:
        return None


def _begin(folder: Path, recipe: Mapping[str, object]) -> None:
    """Record the recipe, or compare it with the recorded one."""
    file = folder / RECIPE
    try:
        begun = json.loads(file.read_bytes())
        if not isinstance(begun, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise InputError(f"{folder} holds other files; name an empty or a new folder") from None
        with atomic_write(file) as opened:
            opened.write(canonical_json(recipe))
        return
    except ValueError as error:
        raise InputError(
            f"{file} cannot be read ({error}); delete {folder} and start again"
        ) from error
    now = json.loads(canonical_json(recipe))
    for what in sorted({*begun, *now}):
        if begun.get(what) != now.get(what):
            raise InputError(
                f"{folder} was started with other arguments: {what} {begun.get(what)} there,"
                f" {now.get(what)} here; use the same, or delete the folder"
            )
