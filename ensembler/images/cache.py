"""Resized images on disk, so that a second pass over them reads instead of decoding.

Each image is a file of its own, `<folder>/<geometry>/<image>.rgb`: its pixels and their checksum.
So any list of images, in any order, finds what an earlier pass left, several processes may share a
folder, and a kill loses only the images being written.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensembler import __version__
from ensembler.files import partial_path, sha256_json
from ensembler.images.preprocess import Preprocess

_CHECKSUM: Final = 4  # bytes before the pixels: their CRC-32, little-endian


class ImageCache:
    """A folder of resized images, which can be deleted at any time.

    Attributes:
        folder: where the images are; made when the first is written.
        fault: why no image is written any more, such as a full disk; None while there is no fault.
            Images that are there are still read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.fault: str | None = None

    def get(
        self, path: Path, preprocess: Preprocess, make: Callable[[], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        """Read an image from the cache; make and keep it if it is not there.

        Args:
            path: the image's file; when its size or modification time changes, it is made anew.
            preprocess: the geometry.
            make: decodes and resizes the file; exceptions pass through.

        Returns:
            (height, width, 3) uint8.
        """
        try:
            entry = self._entry(path, preprocess)
        except OSError:  # no such file: `make` has the better message
            return make()
        kept = _read(entry, (preprocess.height, preprocess.width, 3))
        if kept is not None:
            return kept
        image = make()
        self._write(entry, image)
        return image

    def _entry(self, path: Path, preprocess: Preprocess) -> Path:
        stat = path.stat()
        identity = [str(path.absolute()), stat.st_size, stat.st_mtime_ns]
        name = f"{sha256_json(identity)[:32]}.rgb"
        return geometry_folder(self.folder, preprocess) / name

    def _write(self, entry: Path, image: NDArray[np.uint8]) -> None:
        if self.fault is not None:
            return
        pixels, draft = image.tobytes(), partial_path(entry)
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            # Not flushed to the disk one by one: after a power cut, the checksum does not match.
            draft.write_bytes(zlib.crc32(pixels).to_bytes(_CHECKSUM, "little") + pixels)
            draft.replace(entry)
        except FileNotFoundError:
            pass  # another process made the same image and was first to rename the draft
        except OSError as error:
            self.fault = f"{self.folder} takes no more images: {error.strerror or error}"
            with suppress(OSError):
                draft.unlink()


def geometry_folder(folder: Path, preprocess: Preprocess) -> Path:
    """The subfolder of a cache that holds the images of one geometry."""
    return folder / _folder_name(preprocess.geometry)


def _read(entry: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The pixels of an entry; None where it is missing or damaged."""
    try:
        content = entry.read_bytes()
    except OSError:
        return None
    pixels = memoryview(content)[_CHECKSUM:]
    if len(pixels) != np.prod(shape):
        return None
    if zlib.crc32(pixels) != int.from_bytes(content[:_CHECKSUM], "little"):
        return None
    return np.frombuffer(pixels, np.uint8).reshape(shape)


@cache
def _folder_name(geometry: tuple[object, ...]) -> str:
    import PIL

    # Another release of either may decode or round differently.
    return sha256_json([__version__, PIL.__version__, *geometry])[:16]
