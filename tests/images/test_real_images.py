"""Real images: the competition's own, and Stable Diffusion's as JPEG."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from ensembler.images.find import find_images, match_images
from ensembler.images.preprocess import Preprocess
from ensembler.images.resize import resized
from ensembler.images.stream import stream_images

CLIP = Preprocess(height=224, width=224)


def prompt_ids(folder: Path) -> list[str]:
    with (folder / "prompts.csv").open(encoding="utf-8", newline="") as file:
        return [row["imgId"] for row in csv.DictReader(file)]


def test_the_competitions_images_are_found_matched_and_read(shared_data: Path) -> None:
    folder = shared_data / "competition_sample"
    ids = prompt_ids(folder)
    paths = match_images(ids, find_images(folder / "images"))
    assert [path.stem for path in paths] == ids
    (batch,) = stream_images(paths, CLIP, batch=7, workers=2)
    assert batch.failures == ()
    for image, path in zip(batch.images, paths, strict=True):
        with Image.open(path) as opened:
            np.testing.assert_array_equal(image, resized(opened, CLIP))


def test_every_image_of_sd_images_has_its_prompt_and_decodes(shared_data: Path) -> None:
    folder = shared_data / "sd_images"
    files = find_images(folder / "images")
    assert files.ids.tolist() == sorted(prompt_ids(folder))
    every_eighth = files.paths[::8]
    batches = list(stream_images(every_eighth, CLIP, batch=32, workers=2))
    assert sum(len(one.positions) for one in batches) == len(every_eighth) == 123
    assert not any(one.failures for one in batches)
