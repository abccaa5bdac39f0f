"""Our resizing against the transforms that the models were published with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized, scaled_size

Pixels = NDArray[np.uint8]
SIZES = [(1, 1), (1, 9), (31, 17), (64, 64), (97, 97), (100, 75), (75, 101), (512, 333)]


def by_timm(image: Image.Image, preprocess: Preprocess) -> Pixels:
    transform = create_transform(
        (3, preprocess.height, preprocess.width),
        interpolation=preprocess.interpolation,
        crop_pct=preprocess.crop_pct,
        crop_mode={"crop": "center", "squash": "squash"}[preprocess.resize],
        normalize=False,
    )
    found: Pixels = transform(image).numpy().transpose(1, 2, 0)
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop_pct", [1.0, 0.95, 0.875])
@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("shape", [(64, 64), (65, 65), (40, 72), (72, 41)])
def test_every_pixel_is_timms(
    photo: Callable[..., Pixels],
    size: tuple[int, int],
    crop_pct: float,
    resize: str,
    shape: tuple[int, int],
) -> None:
    preprocess = Preprocess(height=shape[0], width=shape[1], resize=resize, crop_pct=crop_pct)  # type: ignore[arg-type] # parametrized text
    image = Image.fromarray(photo(*size))
    found = resized(image, preprocess)
    assert found.shape == (*shape, 3)
    np.testing.assert_array_equal(found, by_timm(image, preprocess))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_every_pixel_is_torchvisions(
    photo: Callable[..., Pixels], size: tuple[int, int], interpolation: str
) -> None:
    preprocess = Preprocess(height=48, width=48, interpolation=interpolation, crop_pct=0.9)  # type: ignore[arg-type] # parametrized text
    theirs = transforms.Compose(
        [
            transforms.Resize(53, InterpolationMode(interpolation)),
            transforms.CenterCrop(48),
            transforms.PILToTensor(),
        ]
    )
    image = Image.fromarray(photo(*size))
    found = resized(image, preprocess)
    np.testing.assert_array_equal(found, theirs(image).numpy().transpose(1, 2, 0))


@given(
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    shape=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    crop_pct=st.floats(0.5, 1.0),
    resize=st.sampled_from(["crop", "squash"]),
)
def test_a_scaled_image_is_never_smaller_than_what_is_cut_from_it(
    size: tuple[int, int], shape: tuple[int, int], crop_pct: float, resize: str
) -> None:
    preprocess = Preprocess(height=shape[0], width=shape[1], resize=resize, crop_pct=crop_pct)  # type: ignore[arg-type] # drawn text
    width, height = scaled_size(*size, preprocess)
    assert width >= preprocess.width
    assert height >= preprocess.height


def test_an_image_of_the_right_size_stays_as_it_is(photo: Callable[..., Pixels]) -> None:
    found = resized(Image.fromarray(photo(40, 60)), Preprocess(height=40, width=60))
    np.testing.assert_array_equal(found, photo(40, 60))
