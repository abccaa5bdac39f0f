"""The inputs of both training loops: generated images, a table, a recipe, initial weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.images import paint
from ensembler.predicting.batches import Precision
from ensembler.store.encoder import load_encoder
from ensembler.toml import toml_value

PAINTED = 256  # images; where there are more prompts, some share one
HELD_OUT = 2  # prompts: validation is not timed
RATE = 1e-4  # learning rate of every step
SEED = 0
WORKERS = min(8, os.cpu_count() or 1)  # that decode: threads of ours, processes of the bare loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A model and the settings of its training.

    Attributes:
        model: timm's name of the model, which gets a linear head to 384 dimensions.
        batch: prompts per step.
        steps: steps in the one epoch.
        device: "cpu" or "cuda".
        precision: precision of the arithmetic.
    """

    model: str
    batch: int
    steps: int
    device: str
    precision: Precision

    @property
    def learned(self) -> int:
        """Number of prompts in the epoch, each used once."""
        return self.batch * self.steps

    def __str__(self) -> str:
        name = self.model.partition(".")[0]  # without the pretrained tag
        return f"{name}, batch {self.batch}, {self.device}, {self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The files and targets of a scene.

    Attributes:
        images: the image file of each training prompt.
        targets: (prompts, 384) float32, their vectors.
        table: the table of all prompts; those held out are in fold 0.
        recipe: the recipe for `ensembler train`.
        begin: the initial weights of tower and head.
    """

    images: list[Path]
    targets: NDArray[np.float32]
    table: Path
    recipe: Path
    begin: Path


def prepare(scene: Scene, folder: Path, weights: Mapping[str, Any]) -> Prepared:
    """Write a scene's files.

    Args:
        scene: the model and the settings of its training.
        folder: the folder to write to.
        weights: the initial weights.
    """
    from safetensors.torch import save_file

    prompts = [f"prompt {row:06}" for row in range(scene.learned + HELD_OUT)]  # sorted, as ours are
    (folder / "images").mkdir()
    painted = paint(folder / "images", min(PAINTED, scene.learned) + HELD_OUT)
    learned, held_out = painted[:-HELD_OUT], painted[-HELD_OUT:]
    shown = [learned[row % len(learned)] for row in range(scene.learned)] + held_out
    table = folder / "train.tsv"
    table.write_text(
        "".join(
            f"{image.name}\t{prompt}\t{0 if row >= scene.learned else 1}\n"
            for row, (image, prompt) in enumerate(zip(shown, prompts, strict=True))
        )
    )
    recipe = {
        "epochs": 1,
        "batch": scene.batch,
        "precision": scene.precision,
        "seed": SEED,
        "optimiser": {"name": "adamw", "lr": RATE, "lr_end": RATE},
        "config": {"model": scene.model, "head": {"kind": "linear", "dim": 384}},
    }
    (folder / "recipe.toml").write_text(
        "".join(f"{key} = {toml_value(value)}\n" for key, value in recipe.items())
    )
    save_file(dict(weights), folder / "begin.safetensors")
    return Prepared(
        images=shown[: scene.learned],
        targets=load_encoder().encode(prompts[: scene.learned]),
        table=table,
        recipe=folder / "recipe.toml",
        begin=folder / "begin.safetensors",
    )
