"""From an image of any size to a model's input, pixel for pixel as the models' own transforms.

The geometry is that of timm's evaluation transform and, where both sides are equal, of
torchvision's `Resize` and `CenterCrop` on Pillow images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ensembler.images.preprocess import Preprocess

if TYPE_CHECKING:
    from PIL import Image


def resized(image: Image.Image, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Bring an image to a model's size by Pillow's antialiased resampling, in uint8.

    Args:
        image: in mode RGB, of any size.
        preprocess: the geometry; mean and std do not enter.

    Returns:
        (height, width, 3) uint8.
    """
    from PIL import Image

    width, height = preprocess.width, preprocess.height
    size = scaled_size(*image.size, preprocess)
    if image.size != size:
        image = image.resize(size, Image.Resampling[preprocess.interpolation.upper()])
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    if size != (width, height):
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image)


def scaled_size(width: int, height: int, preprocess: Preprocess) -> tuple[int, int]:
    """Width and height of an image after it was scaled and before its centre is cut out."""
    across = math.floor(preprocess.width / preprocess.crop_pct)
    down = math.floor(preprocess.height / preprocess.crop_pct)
    if preprocess.resize == "squash":
        return across, down
    if across != down:  # the side that needs the larger factor fits, the other is cut
        shrink = min(width / across, height / down)
        return round(width / shrink), round(height / shrink)
    if width <= height:  # torchvision cuts fractions off where timm rounds
        return across, int(across * height / width)
    return int(across * width / height), across
