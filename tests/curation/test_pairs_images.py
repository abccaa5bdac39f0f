"""A pair's image is found by path or by id, below its folder and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembler.curation.pairs_images import locate
from ensembler.images.decode import ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for name in ("a.png", "b.JPG", "part/c.webp", "d.png", "d.jpg", "v1.5.png"):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "secret.png").touch()
    return folder


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("a.png", "a.png"),
        ("a", "a.png"),
        ("b", "b.JPG"),
        ("part/c", "part/c.webp"),
        ("d.jpg", "d.jpg"),
        ("v1.5", "v1.5.png"),
    ],
)
def test_an_image_is_found_by_its_path_or_its_id(folder: Path, image: str, file: str) -> None:
    assert locate(folder, image) == folder / file


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("e", "is not there"),
        ("part", "is not there"),
        ("d", "is d.jpg and d.png; keep one"),
        ("../secret", "is not below the folder of images"),
        ("part/../../secret.png", "is not below the folder of images"),
        (".", "is not below the folder of images"),
        ("/etc/hosts", "is not below the folder of images"),
        ("nul\0l", "is not there"),
        ("x" * 5000, "is not there"),
    ],
)
def test_what_is_not_one_image_below_the_folder_is_refused(
    folder: Path, image: str, sentence: str
) -> None:
    with pytest.raises(ImageError, match=sentence):
        locate(folder, image)
