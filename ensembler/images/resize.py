"""Resizing of images for a model, pixel for pixel as the models' own transforms do it.

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
    """Resize and crop an image for a model, by Pillow's antialiased resampling, in uint8.

    Args:
        image: in mode RGB, of any size.
        preprocess: the geometry; mean and std are not applied.

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
    """Width and height of an image after resizing and before the centre crop."""
    across = math.floor(preprocess.width / preprocess.crop_pct)
    down = math.floor(preprocess.height / preprocess.crop_pct)
    if preprocess.resize == "squash":
        return across, down
    if across != down:  # the side with the larger factor fits, the other is cropped
        shrink = min(width / across, height / down)
        return round(width / shrink), round(height / shrink)
    if width <= height:  # torchvision truncates where timm rounds
        return across, int(across * height / width)
    return int(across * width / height), across
