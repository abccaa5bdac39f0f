"""The conformance suite: an honest predictor passes, each dishonest one fails its claim."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Described, Role
from ensembler.testing.predictors import CaptionerConformance, Loadable, PredictorConformance
from predictors.shared.weights import check_names, load_weights

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Colour:
    """The mean colour of an image through a matrix, with the colour as its caption."""

    def __init__(self, matrix: Vectors, offset: Vectors) -> None:
        self.matrix, self.offset = matrix, offset
        self.dim = len(matrix)
        self.preprocess = Preprocess(height=8, width=6)

    def embed(self, images: Images) -> Vectors:
        means = images.reshape(len(images), 48, 3).mean(1)
        vectors: Vectors = (means @ self.matrix.T + self.offset).astype(np.float32)
        return vectors

    def describe(self, images: Images) -> Described:
        return Described(self.embed(images), [f"{i.mean():.0f}" for i in images])


class ColourConfig(Frozen):
    """A small config."""

    scale: float = 1.0


class ColourAdapter:
    """The mean colour of an image."""

    Config: ClassVar[type[Frozen]] = ColourConfig
    roles: ClassVar[Mapping[str, Role]] = {"weights": Role("the matrix")}
    needs: ClassVar[tuple[str, ...]] = ("numpy",)
    install: ClassVar[str] = "colour"

    @classmethod
    def load(cls, config: ColourConfig, files: Mapping[str, Path], *, device: str) -> Colour:  # noqa: ARG003 - numpy has one device
        state = load_weights(files["weights"])
        check_names({"matrix", "offset"}, state, files["weights"])
        return Colour(config.scale * state["matrix"].numpy(), state["offset"].numpy())


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Loadable:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("colour") / "weights.safetensors"
    save_file({"matrix": torch.randn(4, 3), "offset": torch.randn(4)}, path)
    tensors = {"weights": "matrix"}
    return Loadable(ColourAdapter, {"scale": 2.0}, {"weights": path}, tensors)


class TestAnHonestPredictor(CaptionerConformance):
    """An honest predictor passes every test."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, colour: Loadable) -> Loadable:
        return colour


class Double(Colour):
    """Vectors of the wrong type."""

    def embed(self, images: Images) -> Any:  # noqa: ANN401 - the wrong one
        return super().embed(images).astype(np.float64)


class Blind(Colour):
    """The same vector for every image."""

    def embed(self, images: Images) -> Vectors:
        return super().embed(np.zeros_like(images)) + np.float32(1.0)


class Crowd(Colour):
    """Each vector less the mean of its batch."""

    def embed(self, images: Images) -> Vectors:
        vectors = super().embed(images)
        return vectors - vectors.mean(0) if len(vectors) else vectors


class Sorted(Colour):
    """Vectors in an order of their own."""

    def embed(self, images: Images) -> Vectors:
        return np.sort(super().embed(images), axis=0)


class Counting(Colour):
    """Vectors that grow with every call."""

    calls = 0

    def embed(self, images: Images) -> Vectors:
        self.calls += 1
        return super().embed(images) * np.float32(self.calls)


class Full(Colour):
    """An error for an empty batch."""

    def embed(self, images: Images) -> Vectors:
        return super().embed(images if len(images) else np.zeros((1, 8, 6, 3), np.uint8))


CLAIMS: list[tuple[type[Colour], str]] = [
    (Double, "test_vectors_are_finite_float32_rows_of_its_dim"),
    (Blind, "test_it_tells_images_apart"),
    (Crowd, "test_vectors_do_not_depend_on_the_batch"),
    (Sorted, "test_vectors_follow_the_order_of_their_images"),
    (Counting, "test_the_same_images_give_the_same_bytes"),
    (Full, "test_an_empty_batch_gives_no_vectors"),
]


def make(claim: str, loadable: Loadable, predictor: Colour) -> None:
    """Run one of the suite's tests on a predictor, by its fixtures' names as pytest does."""
    colours = np.random.default_rng(0).integers(0, 256, (5, 1, 1, 3), np.uint8)
    images = np.broadcast_to(colours, (5, 8, 6, 3))
    fixtures = {
        "loadable": loadable,
        "predictor": predictor,
        "images": images,
        "vectors": predictor.embed(images),
        "size": 2,
    }
    test = getattr(PredictorConformance(), claim)
    test(**{name: fixtures[name] for name in inspect.signature(test).parameters})


@pytest.mark.parametrize(("kind", "claim"), CLAIMS)
def test_a_dishonest_predictor_fails_its_claim(
    kind: type[Colour], claim: str, colour: Loadable
) -> None:
    honest = colour.load()
    assert isinstance(honest, Colour)
    make(claim, colour, honest)
    with pytest.raises(AssertionError):
        make(claim, colour, kind(honest.matrix, honest.offset))
