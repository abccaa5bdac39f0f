"""Augmentation of training images: cropped, resized, coloured, mirrored."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized
from ensembler.training.recipe import Augment

TRIES = 10  # crops drawn before the middle of the image is taken
Box = tuple[int, int, int, int]


def augment_image(
    image: Image.Image, preprocess: Preprocess, augment: Augment | None, seed: int
) -> NDArray[np.uint8]:
    """Augment an image and resize it for a model.

    Args:
        image: RGB.
        preprocess: size and interpolation; without augmentation, all steps.
        augment: the augmentation; None for none.
        seed: seed of the draws; equal seeds give equal pixels.

    Returns:
        (height, width, 3) uint8.
    """
    if augment is None:
        return resized(image, preprocess)
    rng = np.random.default_rng(seed)
    size = (preprocess.width, preprocess.height)
    resampling = Image.Resampling[preprocess.interpolation.upper()]
    image = image.resize(size, resampling, box=random_box(*image.size, augment, rng))
    if augment.colour:
        enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
        for number in rng.permutation(len(enhancers)):
            factor = rng.uniform(1.0 - augment.colour, 1.0 + augment.colour)
            image = enhancers[number](image).enhance(factor)
    if augment.flip and rng.random() < 0.5:
        image = ImageOps.mirror(image)
    return np.asarray(image)


def random_box(width: int, height: int, augment: Augment, rng: np.random.Generator) -> Box:
    """Draw a crop: its share of the area uniform, the logarithm of its ratio of sides uniform.

    The random resized crop of Szegedy et al. 2015, as torchvision draws it. Where none of TRIES
    crops fits into the image, the largest one in its middle that keeps to the ratios.

    Args:
        width: width of the image.
        height: height of the image.
        augment: its scale and ratio count.
        rng: random generator.

    Returns:
        left, top, right, bottom, in pixels.
    """
    low, high = augment.ratio
    for _ in range(TRIES):
        area = width * height * rng.uniform(*augment.scale)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left = int(rng.integers(width - across + 1))
            top = int(rng.integers(height - down + 1))
            return left, top, left + across, top + down
    across = min(width, round(height * high))
    down = min(height, round(width / low))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + max(across, 1), top + max(down, 1)
