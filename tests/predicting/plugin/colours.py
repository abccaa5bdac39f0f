"""Tiny adapters for tests: an image's mean colour, from pixels to vectors as a model would do it.

They are no models, but have real files and come in by the entry points of a package of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembler.frozen import Frozen
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Described, Role
from ensembler.store.reader import Store

Vectors = NDArray[np.float32]


class ColourConfig(Frozen):
    """With `by_brightness` a vector is divided by brightness: a black image then has none."""

    by_brightness: bool = False
    size: int = 4


class Colours:
    """Mean colours times a matrix.

    This line is not in the list.
    """

    Config = ColourConfig
    roles: Mapping[str, Role] = {
        "weights": Role("a (3, d) matrix (.npy)"),
        "note": Role("text", required=False),
    }
    needs: tuple[str, ...] = ()
    install = "colours[models]"

    @classmethod
    def load(cls, config: ColourConfig, files: Mapping[str, Path], *, device: str) -> ColourModel:  # noqa: ARG003 - it runs where it likes
        return ColourModel(np.load(files["weights"], allow_pickle=False), config)


class ColourModel:
    def __init__(self, weights: Vectors, config: ColourConfig) -> None:
        self.weights, self.by_brightness = weights, config.by_brightness
        self.dim = weights.shape[1]
        self.preprocess = Preprocess(height=config.size, width=config.size + int(self.dim > 6))

    def embed(self, images: NDArray[np.uint8]) -> Vectors:
        mean = images.mean(axis=(1, 2)) / 255
        if self.by_brightness:
            with np.errstate(invalid="ignore"):
                mean = mean / mean.sum(axis=1, keepdims=True)
        return np.asarray(mean @ self.weights, dtype=np.float32)


class Words(Colours):
    """A captioner that names the strongest colour of an image."""

    @classmethod
    def load(cls, config: ColourConfig, files: Mapping[str, Path], *, device: str) -> WordModel:  # noqa: ARG003 - as above
        return WordModel(np.load(files["weights"], allow_pickle=False), config)


class WordModel(ColourModel):
    def describe(self, images: NDArray[np.uint8]) -> Described:
        names = np.array(["red", "green", "blue"])
        most = images.sum(axis=(1, 2), dtype=np.int64).argmax(axis=1)
        return Described(self.embed(images), names[most].tolist())


class Neighbours:
    """The nearest sample's target, learned from the store."""

    Config = ColourConfig
    roles: Mapping[str, Role] = {"references": Role("what it learned (.npz)", learned=True)}
    needs = ()
    install = "colours"

    @classmethod
    def learn(
        cls,
        config: Any,  # noqa: ANN401, ARG003 - the contract's
        files: Mapping[str, Path],
        *,
        store: Store,
        images: Mapping[str, Path],
        device: str,  # noqa: ARG003 - the contract's
        out_dir: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, str]:
        from ensembler.images.stream import load_image

        place, ids = files["references"], store.samples.id.tolist()
        if not place.exists():
            wanted = Preprocess(height=4, width=4)
            colours = np.array([load_image(images[id_], wanted).mean(axis=(0, 1)) for id_ in ids])
            np.savez(place, colours=colours, targets=store.targets(), folds=store.samples.fold)
            if progress is not None:
                progress(len(ids), len(ids))
        return {"references": place.relative_to(out_dir).as_posix()}

    @classmethod
    def load(cls, config: Any, files: Mapping[str, Path], *, device: str) -> NeighbourModel:  # noqa: ANN401, ARG003 - the contract's
        with np.load(files["references"], allow_pickle=False) as held:
            return NeighbourModel(held["colours"], held["targets"], held["folds"])


class NeighbourModel:
    def __init__(
        self, colours: NDArray[np.float64], targets: Vectors, folds: NDArray[np.int64]
    ) -> None:
        self.colours, self.targets, self.folds = colours, targets, folds
        self.dim = targets.shape[1]
        self.preprocess = Preprocess(height=4, width=4)

    def embed(self, images: NDArray[np.uint8]) -> Vectors:
        nearest: Sequence[int] = [
            int(np.abs(self.colours - colour).sum(axis=1).argmin())
            for colour in images.mean(axis=(1, 2))
        ]
        return self.targets[np.asarray(nearest, dtype=np.int64)]

    def without_fold(self, fold: int) -> NeighbourModel:
        kept = self.folds != fold
        return NeighbourModel(self.colours[kept], self.targets[kept], self.folds[kept])


class Uninstalled(Colours):
    """A model whose library is not installed."""

    needs = ("a_library_that_nobody_has",)
