"""One decode for all passes over the same images that want them resized alike.

A spec's members want a few sizes between them, and each of their checkpoints passes over all the
images. The first pass keeps what it decoded, as pixels in a folder; the later ones read it there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ensembler.images.cache import geometry_folder
from ensembler.images.preprocess import Preprocess

ROOM: Final = 0.5  # share of the disk's free bytes that images may take which nobody asked to keep
_BLOCK: Final = 4096  # bytes that a file may take beside its pixels


class SharedImages:
    """Where the passes of a run keep and find resized images.

    Args:
        folder: made when the first is written.
        lasting: whether the user named it: then every pass keeps its images there, and they stay.
            Else only those do that another pass will want, while the disk has room.

    Attributes:
        fault: the first reason why images were decoded more often than need be; None without one.
    """

    def __init__(self, folder: Path, *, lasting: bool) -> None:
        self.folder, self.lasting = folder, lasting
        self.fault: str | None = None

    def place(self, preprocess: Preprocess, *, images: int, passes: int) -> Path | None:
        """The folder for a pass; None where it decodes for itself alone.

        Args:
            preprocess: how it wants the images.
            images: how many the passes share.
            passes: that want them alike and are still to come, this one included.
        """
        if self.lasting or geometry_folder(self.folder, preprocess).is_dir():
            return self.folder
        return self.folder if passes > 1 and self._has_room(preprocess, images) else None

    def release(self, preprocess: Preprocess) -> None:
        """No other pass wants images so: unless they are to last, they go."""
        if not self.lasting:
            shutil.rmtree(geometry_folder(self.folder, preprocess), ignore_errors=True)

    def note(self, fault: str | None) -> None:
        """Take in what a pass says of its cache; the first fault is kept."""
        self.fault = self.fault or fault

    def _has_room(self, preprocess: Preprocess, images: int) -> bool:
        wanted = images * (3 * preprocess.height * preprocess.width + _BLOCK)
        free = shutil.disk_usage(self.folder.parent).free
        if wanted <= ROOM * free:
            return True
        self.note(
            f"{self.folder} is not used: {images} images of {preprocess.width} ×"
            f" {preprocess.height} take {wanted / 1e9:.1f} GB, more than half of the"
            f" {free / 1e9:.1f} GB that are free there; name a folder with --image-cache"
        )
        return False


@contextmanager
def shared_images(chosen: str | Path | None, own: Path) -> Iterator[SharedImages]:
    """Share images in the folder that the user chose, or else in one that goes with the block.

    Args:
        chosen: what `--image-cache` names; None where it is not given.
        own: in a folder that exists. What a kill left of it is used, and goes too.
    """
    try:
        yield SharedImages(own if chosen is None else Path(chosen), lasting=chosen is not None)
    finally:
        shutil.rmtree(own, ignore_errors=True)
