"""Images of known content, in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def photo() -> Callable[..., Pixels]:
    """`photo(height, width, seed=0)`: a smooth image with noise, (height, width, 3) uint8."""

    def make(height: int, width: int, seed: int = 0) -> Pixels:
        rng = np.random.default_rng(seed)
        down, across = np.mgrid[0:height, 0:width]
        waves = [127 + 90 * np.sin(a * down / 9 + b * across / 7) for a, b in rng.random((3, 2))]
        noisy = np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3))
        return noisy.clip(0, 255).astype(np.uint8)

    return make


@pytest.fixture
def photos(tmp_path: Path, photo: Callable[..., Pixels]) -> list[Path]:
    """Eleven PNG files of different sizes, each with its own content."""
    paths = []
    for n in range(11):
        paths.append(tmp_path / f"photo{n:02}.png")
        Image.fromarray(photo(30 + n, 47 - n, seed=n)).save(paths[-1])
    return paths


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared")
    return folder
