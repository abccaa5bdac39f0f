"""Recipes: what to train and how, read from TOML.

epochs = 15
batch = 256                   # over all processes
optimiser = {name = "madgrad", lr = 1e-4, lr_end = 1e-6, weight_decay = 0.05}
warmup = {epochs = 3, lr = 1e-2}
augment = {scale = [0.5, 1.0], ratio = [0.9, 1.1], colour = 0.05}
loss = {cosine = 1.0}
freeze = 0.4                  # the lowest 40 % of the tower's blocks
lora = {share = 0.4}          # the 40 % above them; the highest 20 % are trained whole

[config]                      # the predictor's own, as in its definition
model = "vit_large_patch14_clip_336.laion2b"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ensembler.errors import InputError, first_few, unknown_name
from ensembler.faults import faults_of
from ensembler.files import sha256_json
from ensembler.frozen import Frozen
from ensembler.predicting.batches import Precision
from ensembler.shipped import shipped

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Optimiser(Frozen):
    """The optimiser; its learning rate falls from `lr` to `lr_end` along half a cosine."""

    name: Literal["adamw", "madgrad"]
    lr: float = Field(gt=0.0)
    lr_end: float = Field(default=0.0, ge=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)  # decoupled; not of biases, norms, positions
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)  # AdamW calls it beta 1
    sam_rho: float | None = Field(default=None, gt=0.0)  # radius of sharpness-aware steps


class Lora(Frozen):
    """Low-rank updates of the blocks above the frozen ones, whose own weights stay fixed.

    A linear layer W becomes W + (alpha / rank) B A, of which A and B are trained; a checkpoint
    holds the sum.
    """

    share: Share  # of the tower's blocks
    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)


class Warmup(Frozen):
    """The first epochs: the head is trained at a constant rate, the tower is frozen."""

    epochs: int = Field(ge=1)
    lr: float = Field(gt=0.0)


class Augment(Frozen):
    """The augmentation of training images."""

    scale: tuple[Share, Share]  # share of the image's area in a crop, from and to
    ratio: tuple[Positive, Positive] = (1.0, 1.0)  # of the crop's width to its height, from and to
    colour: float = Field(default=0.0, ge=0.0, lt=1.0)  # brightness, contrast, saturation: 1 ± this
    flip: bool = False  # left to right, with probability 1/2

    @model_validator(mode="after")
    def _ordered(self) -> Augment:
        for key, (low, high) in {"scale": self.scale, "ratio": self.ratio}.items():
            if low > high:
                raise ValueError(
                    f"{key} = [{low}, {high}] begins with the larger number; swap them"
                )
        return self


class Loss(Frozen):
    """The weights of the losses in their sum.

    cosine: 1 - cos(vector, target).
    ranking: an image finds its own target among all of the batch (multiple negatives), or of its
        part where a batch is accumulated: more parts make that easier.
    info_nce: the mean of ranking and of the same with images and targets exchanged.
    tokens: a captioner's negative log-likelihood of the prompt, the mean over the batch's tokens.

    A target is the prompt's embedding; for a captioner with a text tower, that tower's.
    """

    cosine: Weight = 0.0
    ranking: Weight = 0.0
    info_nce: Weight = 0.0
    tokens: Weight = 0.0
    # Factor of cosines before the softmax; None: 20, or the scale that a model learns.
    scale: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _something(self) -> Loss:
        if not self.weighed:
            raise ValueError("no loss has a weight; set cosine = 1.0, or weigh several")
        return self

    @property
    def weighed(self) -> tuple[str, ...]:
        """The names of the losses with a weight."""
        return tuple(n for n in ("cosine", "ranking", "info_nce", "tokens") if getattr(self, n))


class Recipe(Frozen):
    """A recipe, every key with its default."""

    description: str = ""
    predictor: str | None = None  # that it is written for; None: any that takes its config
    config: dict[str, Any]  # of the predictor; its own class checks it
    optimiser: Optimiser
    warmup: Warmup | None = None
    freeze: float = Field(default=0.0, ge=0.0, le=1.0)  # share of the tower's blocks, from below
    lora: Lora | None = None  # on the blocks above those
    reinitialise: int = Field(
        default=0, ge=0
    )  # number of highest blocks that begin with new weights
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)  # of the highest block; less below
    augment: Augment | None = None  # None: preprocessed as for a prediction
    loss: Loss = Loss(cosine=1.0)
    # Number of held-out prompts to validate on, drawn by the seed; None: all of them.
    validate_images: int | None = Field(default=None, ge=1)
    epochs: int = Field(ge=1)  # warm-up included
    batch: int = Field(ge=2)  # images per step of the optimiser, over all processes
    accumulate: int = Field(default=1, ge=1)  # parts of a batch, one by one; see Loss.ranking
    precision: Precision = "float32"
    # Share of the weights' average that each step keeps; None: no average.
    ema: float | None = Field(default=None, gt=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.warmup is not None and self.warmup.epochs > self.epochs:
            raise ValueError(
                f"warmup.epochs = {self.warmup.epochs} is more than epochs = {self.epochs}"
            )
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch = {self.batch} cannot be divided into accumulate = {self.accumulate} equal"
                " parts"
            )
        if self.lora is not None and self.freeze + self.lora.share > 1.0 + 1e-9:
            raise ValueError(
                f"freeze = {self.freeze:g} and lora.share = {self.lora.share:g} add up to more"
                " than 1"
            )
        warm = self.warmup is not None and self.warmup.epochs == self.epochs
        if self.reinitialise and (warm or self.freeze == 1.0):
            raise ValueError(
                f"the {self.reinitialise} blocks of reinitialise would never be trained:"
                f" {'all epochs are warm-up' if warm else 'freeze = 1'}"
            )
        if self.optimiser.lr_end > self.optimiser.lr:
            raise ValueError(
                "optimiser.lr_end is above optimiser.lr, but the learning rate only falls"
            )
        return self

    @property
    def digest(self) -> str:
        """The sha256 of all keys that decide a result: without description and predictor."""
        return sha256_json(self.model_dump(mode="json", exclude={"description", "predictor"}))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe that comes with ensembler, by name, or one from a file.

    Its `config` is checked when it is trained.

    Args:
        name_or_path: "knjcode_5th/eva02_stage1", or a path ending in .toml.

    Raises:
        InputError: there is no such recipe, it is not TOML, or a key is unknown (the nearest is
            offered), missing or out of bounds; the message lists all faults.
    """
    file = recipe_file(name_or_path)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        return Recipe.model_validate(document, strict=False)
    except ValidationError as error:
        raise InputError(f"{file}: {faults_of(error, Recipe)}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as a recipe: {error}") from error


def recipe_file(name_or_path: str | Path) -> Path:
    """Find the file of a recipe.

    Args:
        name_or_path: see `load_recipe`.

    Raises:
        InputError: there is no recipe of this name or no such file; the message offers the
            nearest name, or the names that contain the given one.
    """
    file = Path(name_or_path)
    if file.suffix != ".toml":
        name, known = file.as_posix(), shipped("recipes")
        if name not in known:
            raise InputError(_unknown(name, known))
        return known[name]
    if not file.is_file():
        beside = (other.name for other in file.parent.glob("*.toml"))
        raise InputError(
            f"there is no recipe {file}: in {file.parent},"
            f" {unknown_name('file', file.name, beside)}"
        )
    return file


def _unknown(name: str, known: Collection[str]) -> str:
    """The message for an unknown name; there are too many names to list them all."""
    message = f"no recipe named {name!r} (a recipe's file ends in .toml)"
    near = [other for other in known if name.lower() in other.lower()]
    near = near or difflib.get_close_matches(name, known, n=1)
    if near:
        return f"{message}; did you mean {first_few(map(repr, near), 10)}?"
    return f"{message}; `ensembler recipe list` names those that come with ensembler"
