"""Augmentation: seeded, within its bounds, and none where a recipe has none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized
from ensembler.training.recipe import Augment
from predictors.shared.training.augment import augment_image, random_box

WANTED = Preprocess(height=16, width=16)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(pixels)


def test_without_augmentation_an_image_is_as_for_a_prediction(image: Image.Image) -> None:
    wide = image.resize((40, 20))
    assert (augment_image(wide, WANTED, None, 3) == resized(wide, WANTED)).all()


def test_equal_seeds_give_equal_pixels_and_others_do_not(image: Image.Image) -> None:
    augment = Augment(scale=(0.3, 1.0), colour=0.3, flip=True)
    first, again, other = (augment_image(image, WANTED, augment, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    low=st.floats(0.1, 0.9),
    stretch=st.floats(1.0, 1.5),
    seed=st.integers(0, 1 << 128),
)
def test_a_cut_is_inside_and_of_its_share_and_ratio(
    width: int, height: int, low: float, stretch: float, seed: int
) -> None:
    augment = Augment(scale=(low, 1.0), ratio=(1.0 / stretch, stretch))
    left, top, right, bottom = random_box(width, height, augment, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    across, down = right - left, bottom - top
    slack = 0.6 / min(across, down)  # sides are whole pixels
    assert abs(math.log(across / down)) <= math.log(stretch) + 2.5 * slack


def test_shares_of_the_area_are_spread_evenly() -> None:
    rng, augment = np.random.default_rng(0), Augment(scale=(0.2, 0.8))
    boxes = [random_box(1000, 1000, augment, rng) for _ in range(2000)]
    shares = np.array([(r - left) * (b - top) / 1e6 for left, top, r, b in boxes])
    assert shares.min() > 0.199
    assert shares.max() < 0.801
    assert abs(shares.mean() - 0.5) < 0.02


def test_a_cut_that_never_fits_becomes_the_middle() -> None:
    rng, augment = np.random.default_rng(0), Augment(scale=(1.0, 1.0))
    assert random_box(100, 40, augment, rng) == (30, 0, 70, 40)


def test_half_of_the_images_are_mirrored(image: Image.Image) -> None:
    augment = Augment(scale=(1.0, 1.0), flip=True)
    pixels = np.asarray(image)
    seen = [augment_image(image, WANTED, augment, seed) for seed in range(100)]
    mirrored = [(one == pixels[:, ::-1]).all() for one in seen]
    straight = [(one == pixels).all() for one in seen]
    assert all(a != b for a, b in zip(mirrored, straight, strict=True))
    assert 30 <= sum(mirrored) <= 70


def test_colours_change_by_no_more_than_the_recipe_says() -> None:
    grey = Image.new("RGB", (16, 16), (100, 100, 100))  # contrast and saturation leave it alone
    augment = Augment(scale=(1.0, 1.0), colour=0.1)
    seen = {int(augment_image(grey, WANTED, augment, seed)[0, 0, 0]) for seed in range(200)}
    assert min(seen) >= 89
    assert max(seen) <= 110
    assert max(seen) - min(seen) > 15
