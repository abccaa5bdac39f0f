"""Decoding of image files to RGB, by one set of rules for all formats.

- EXIF rotation is applied; an animation gives its first frame.
- Transparent pixels are laid on white: viewers show them so, and so the training sets of the public
  towers were made.
- 16-bit grey keeps its high byte, as 16-bit colour does in Pillow.
- CMYK is converted without a colour profile, and embedded profiles are ignored, as in the models'
  own transforms.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ensembler.errors import InputError
from ensembler.files import BROKEN

if TYPE_CHECKING:
    from PIL import Image

# Formats that are read, whatever a file's suffix. Others start programs (EPS) or have a long
# record of vulnerabilities (TIFF).
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 1 << 26  # 8192 × 8192, 200 MB as RGB; anything larger may be a decompression bomb
BACKGROUND: Final = "white"  # behind transparent pixels
_UNREADABLE: Final = (*BROKEN, SyntaxError, Warning)  # Pillow's; warnings may be made errors
_SHORT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # too few open files, or memory


class ImageError(InputError):
    """One image cannot be read; others may be.

    Attributes:
        reason: what is wrong, worded to follow the file's name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}; replace it or leave it out"


def check_pillow() -> None:
    """Check that Pillow is installed.

    Raises:
        InputError: it is not; the message has the pip line that installs it.
    """
    try:
        import PIL  # noqa: F401 - only a check that it is there
    except ImportError as error:
        raise InputError(
            "reading images needs pillow: pip install 'oof-ensembler[images]'"
        ) from error


def decode(path: str | Path) -> Image.Image:
    """Decode an image file to upright RGB with 8 bits per channel.

    Args:
        path: a PNG, JPEG, WebP, GIF or BMP file; its name does not matter.

    Returns:
        A Pillow image in mode RGB, of any size from 1 × 1.

    Raises:
        ImageError: the file is missing, empty, truncated, in another format, or has more than
            MAX_PIXELS.
        InputError: this process is out of memory or of open files; the image may be sound.
    """
    from PIL import Image, UnidentifiedImageError

    file, start = Path(path), b""
    try:
        with file.open("rb") as opened:
            start = opened.read(12)
            with Image.open(opened, formats=FORMATS) as image:
                check_pixels(file, *image.size)
                image.load()
                return _on_background(_eight_bit(_upright(image)))
    except UnidentifiedImageError as error:
        reason = f"is not a valid PNG, JPEG, WebP, GIF or BMP: it begins with {start!r}"
        raise ImageError(file, reason if start else "is empty") from error
    except OSError as error:
        if error.errno in _SHORT:
            raise _short_of(file, error.strerror or str(error)) from error
        raise ImageError(file, f"cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise _short_of(file, "it ran out of memory") from error
    except (*_UNREADABLE, Image.DecompressionBombError) as error:
        what = str(error) or type(error).__name__
        raise ImageError(file, f"cannot be decoded: {what}") from error


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuse an image that is too large, before memory is allocated for it.

    Raises:
        ImageError: it has more than MAX_PIXELS.
    """
    if width * height > MAX_PIXELS:
        raise ImageError(
            path, f"would take {width} × {height} pixels, more than the {MAX_PIXELS:,} allowed"
        )


def _short_of(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} could not be read because of this process, not of the image: {what}; end other"
        " programs or give fewer --workers, and run the same command again"
    )


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    with suppress(*_UNREADABLE):  # broken EXIF: the orientation is unknown
        return ImageOps.exif_transpose(image)
    return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Keep the high byte of 16-bit grey, which Pillow's own conversion would clip to white."""
    from PIL import Image

    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _on_background(image: Image.Image) -> Image.Image:
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer).convert("RGB")
