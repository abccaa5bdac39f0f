"""Sharing of decoded images between passes that resize them alike.

A spec's members need only a few sizes between them, and each of their checkpoints passes over all
images. The first pass keeps its resized pixels in a folder; later passes read them there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensembler.images.cache import geometry_folder
from ensembler.images.preprocess import Preprocess

ROOM: Final = 0.5  # share of the disk's free bytes for images that nobody asked to keep
_BLOCK: Final = 4096  # bytes that a file may take beside its pixels


class SharedImages:
    """The folder in which the passes of a run share resized images.

    Args:
        folder: made when the first image is written.
        lasting: whether the user named the folder: then every pass keeps its images there, and they
            stay. Otherwise only images that another pass needs are kept, while the disk has room.

    Attributes:
        fault: the first reason why images were decoded more often than necessary; None without one.
    """

    def __init__(self, folder: Path, *, lasting: bool) -> None:
        self.folder, self.lasting = folder, lasting
        self.fault: str | None = None

    def place(self, preprocess: Preprocess, *, images: int, passes: int) -> Path | None:
        """The folder for a pass to cache in; None where it shares nothing.

        Args:
            preprocess: the pass's preprocessing.
            images: number of images that the passes share.
            passes: number of remaining passes with the same geometry, this one included.
        """
        if self.lasting or geometry_folder(self.folder, preprocess).is_dir():
            return self.folder
        return self.folder if passes > 1 and self._has_room(preprocess, images) else None

    def release(self, preprocess: Preprocess) -> None:
        """Remove the images of a geometry that no further pass needs, unless they are to last."""
        if not self.lasting:
            shutil.rmtree(geometry_folder(self.folder, preprocess), ignore_errors=True)

    def note(self, fault: str | None) -> None:
        """Record the fault of a pass's cache; the first one is kept."""
        self.fault = self.fault or fault

    def _has_room(self, preprocess: Preprocess, images: int) -> bool:
        wanted = images * (3 * preprocess.height * preprocess.width + _BLOCK)
        free = shutil.disk_usage(self.folder.parent).free
        if wanted <= ROOM * free:
            return True
        self.note(
            f"{self.folder} is not used: {images} images of {preprocess.width} ×"
            f" {preprocess.height} take {wanted / 1e9:.1f} GB, more than half of the"
            f" {free / 1e9:.1f} GB free there; name a folder with --image-cache"
        )
        return False


@contextmanager
def shared_images(chosen: str | Path | None, temporary: Path) -> Iterator[SharedImages]:
    """Share images in the folder that the user chose, or in one that is removed with the block.

    Args:
        chosen: the folder that `--image-cache` names; None without the option.
        temporary: the folder to use otherwise; its parent exists. Images that a killed run left
            there are used, and removed too.
    """
    try:
        folder = temporary if chosen is None else Path(chosen)
        yield SharedImages(folder, lasting=chosen is not None)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
