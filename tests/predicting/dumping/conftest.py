"""A store of coloured images, and definitions of predictors with real files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.dumping.dump import DumpReport, dump
from ensembler.store.create import create_store
from ensembler.store.reader import Member, Store

DIM = 5
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Studio:
    """A store, its images and a folder of definitions.

    Attributes:
        folder: holds all.
        pixels: (samples, 4, 4, 3) uint8, in the store's order; models take 4 × 4.
        folds: (samples,).
    """

    folder: Path
    pixels: Pixels
    folds: Sequence[int]

    @property
    def store(self) -> Path:
        return self.folder / "oof"

    @property
    def images(self) -> Path:
        return self.folder / "images"

    def image(self, row: int) -> Path:
        return self.images / f"{self.ids[row]}.png"

    @property
    def ids(self) -> list[str]:
        ids: list[str] = Store.open(self.store).samples.id.tolist()
        return ids

    def weights(self, name: str, seed: int, dim: int = DIM) -> NDArray[np.float32]:
        """Save a checkpoint and return what it holds."""
        matrix = np.random.default_rng(seed).normal(size=(3, dim)).astype(np.float32) * (1 + seed)
        np.save(self.folder / "models" / name, matrix)
        return matrix

    def define(
        self, adapter: str, files: str = "", folds: Sequence[tuple[int, str]] = (), config: str = ""
    ) -> Path:
        """Write a definition: `files` and `config` are lines of TOML, `folds` fold and weights."""
        parts = [f'adapter = "{adapter}"', f"[config]\n{config}", f"[files]\n{files}"]
        parts += [f'[[checkpoints]]\nfold = {fold}\nweights = "{at}"' for fold, at in folds]
        place = self.folder / "models" / f"{adapter}.toml"
        place.write_text("\n".join(parts) + "\n")
        return place

    def folded(self, adapter: str = "colours") -> tuple[Path, list[NDArray[np.float32]]]:
        """A definition with a checkpoint for each of the folds 0, 1 and 2."""
        matrices = [self.weights(f"fold{fold}.npy", fold) for fold in range(3)]
        return self.define(adapter, folds=[(n, f"fold{n}.npy") for n in range(3)]), matrices

    def dump(self, name: str, definition: Path, **options: Any) -> DumpReport:  # noqa: ANN401 - dump's own
        """Dump four images at a time."""
        given = {"device": "cpu", "batch": 4, "failures": self.folder / "failures.csv", **options}
        return dump(self.store, name, predictor=definition, images=self.images, **given)

    def member(self, name: str) -> Member:
        return Store.open(self.store).member(name)

    def colour(self, row: int) -> NDArray[np.float64]:
        """What a model sees of an image, pixel by pixel."""
        seen = self.pixels[row].reshape(-1, 3).astype(np.float64)
        return sum(seen) / len(seen) / 255  # type: ignore[no-any-return] # sum of an array's rows


MakeStudio = Callable[..., Studio]


@pytest.fixture
def make_studio(tmp_path: Path) -> MakeStudio:
    """`make_studio(folds=…)`: a sample for each, in groups of their own; ids are not in order."""

    def make(folds: Sequence[int] = tuple(n % 3 for n in range(26))) -> Studio:
        rng = np.random.default_rng(len(folds))
        pixels = rng.integers(0, 256, (len(folds), 4, 4, 3)).astype(np.uint8)
        studio = Studio(folder=tmp_path, pixels=pixels, folds=folds)
        for folder in (studio.images, tmp_path / "models"):
            folder.mkdir()
        ids = [f"{(7 * row) % 100:02}e{row}" for row in range(len(folds))]
        lines = [f"{id_},{fold}" for id_, fold in zip(ids, folds, strict=True)]
        (tmp_path / "samples.csv").write_text("\n".join(["imgId,fold", *lines]) + "\n")
        np.save(tmp_path / "targets.npy", rng.normal(size=(len(folds), DIM)))
        create_store(studio.store, tmp_path / "samples.csv", targets=tmp_path / "targets.npy")
        for id_, image in zip(ids, pixels, strict=True):
            Image.fromarray(image).save(studio.images / f"{id_}.png")
        return studio

    return make
