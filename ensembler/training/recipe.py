"""A recipe: what is trained and how, read from TOML.

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

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from ensembler.errors import InputError, unknown_name
from ensembler.faults import faults_of
from ensembler.files import sha256_json
from ensembler.predicting.batches import Precision
from ensembler.shipped import shipped
from ensembler.store.model import Frozen

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Weight = Annotated[float, Field(ge=0.0)]


class Optimiser(Frozen):
    """Who steps, and how far; the rate falls from `lr` to `lr_end` along half a cosine."""

    name: Literal["adamw", "madgrad"]
    lr: float = Field(gt=0.0)
    lr_end: float = Field(default=0.0, ge=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)  # decoupled; none on biases, norms, positions
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)  # AdamW calls it beta 1
    sam_rho: float | None = Field(default=None, gt=0.0)  # sharpness-aware: how far uphill it looks


class Lora(Frozen):
    """Low-rank updates of the blocks above the frozen ones, instead of their own weights.

    A linear layer W becomes W + (alpha / rank) B A, of which A and B are trained; a checkpoint
    holds the sum.
    """

    share: Share  # of the tower's blocks
    rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)


class Warmup(Frozen):
    """The first epochs, which train the head alone, at a constant rate; the tower is frozen."""

    epochs: int = Field(ge=1)
    lr: float = Field(gt=0.0)


class Augment(Frozen):
    """What is done to an image before it is learned from."""

    scale: tuple[Share, Share]  # of the image's area that is cut out
    ratio: tuple[Positive, Positive] = (1.0, 1.0)  # of the cut's sides
    colour: float = Field(default=0.0, ge=0.0, lt=1.0)  # brightness, contrast, saturation: 1 ± this
    flip: bool = False  # left to right, one time in two

    @model_validator(mode="after")
    def _ordered(self) -> Augment:
        for key, (low, high) in {"scale": self.scale, "ratio": self.ratio}.items():
            if low > high:
                raise ValueError(f"{key} = [{low}, {high}] begins with the larger; swap them")
        return self


class Loss(Frozen):
    """The weights of losses that are added up.

    cosine: 1 - cos(vector, target).
    ranking: an image finds its own among all targets of the batch (multiple negatives), or of its
        part where a batch is accumulated: more parts make that easier.
    info_nce: the mean of that and of every target finding its image.
    tokens: a captioner's negative log-likelihood of the prompt, the mean over the batch's tokens.

    A target is the prompt's embedding; of a captioner with a text tower of its own, that tower's.
    """

    cosine: Weight = 0.0
    ranking: Weight = 0.0
    info_nce: Weight = 0.0
    tokens: Weight = 0.0
    # Cosines are multiplied by it before the softmax; without, by 20, or by what a model learns.
    scale: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _something(self) -> Loss:
        if not self.weighed:
            raise ValueError("no loss has weight; say cosine = 1.0, or weigh several")
        return self

    @property
    def weighed(self) -> tuple[str, ...]:
        """The losses that have weight, by name."""
        return tuple(n for n in ("cosine", "ranking", "info_nce", "tokens") if getattr(self, n))


class Recipe(Frozen):
    """Every key of a recipe, each with its default."""

    description: str = ""
    predictor: str | None = None  # that it is written for; without, any that takes its config
    config: dict[str, Any]  # of the predictor; its own class checks it
    optimiser: Optimiser
    warmup: Warmup | None = None
    freeze: float = Field(default=0.0, ge=0.0, le=1.0)  # share of the tower's blocks, from below
    lora: Lora | None = None  # on the blocks above those
    reinitialise: int = Field(default=0, ge=0)  # blocks, from above, that begin with new weights
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)  # of the highest block; less below
    augment: Augment | None = None  # without, an image is brought to its size as for a prediction
    loss: Loss = Loss(cosine=1.0)
    # Prompts held out that an epoch is judged by, drawn by the seed; without, all of them.
    validate_images: int | None = Field(default=None, ge=1)
    epochs: int = Field(ge=1)  # warm-up included
    batch: int = Field(ge=2)  # images to a step of the optimiser, over all processes
    accumulate: int = Field(default=1, ge=1)  # parts of a batch, one by one; see Loss.ranking
    precision: Precision = "float32"
    ema: float | None = Field(
        default=None, gt=0.0, lt=1.0
    )  # how much of the average each step keeps
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.warmup is not None and self.warmup.epochs > self.epochs:
            raise ValueError(
                f"warmup.epochs = {self.warmup.epochs} is more than all {self.epochs} epochs"
            )
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch = {self.batch} cannot be accumulated from {self.accumulate} equal parts"
            )
        if self.lora is not None and self.freeze + self.lora.share > 1.0 + 1e-9:
            raise ValueError(
                f"freeze = {self.freeze:g} and lora.share = {self.lora.share:g} are more than all"
                " blocks"
            )
        warm = self.warmup is not None and self.warmup.epochs == self.epochs
        if self.reinitialise and (warm or self.freeze == 1.0):
            raise ValueError(
                f"reinitialise = {self.reinitialise} blocks would begin anew and never be trained:"
                f" {'all epochs are warm-up' if warm else 'freeze = 1'}"
            )
        if self.optimiser.lr_end > self.optimiser.lr:
            raise ValueError("optimiser.lr_end is above optimiser.lr; the rate only falls")
        return self

    @property
    def digest(self) -> str:
        """The sha256 of all that decides a result: not of the description, nor of whose it is."""
        return sha256_json(self.model_dump(mode="json", exclude={"description", "predictor"}))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a recipe by the name of one that comes with ensembler, or from a file.

    Its `config` is checked by who trains.

    Args:
        name_or_path: "knjcode_5th/eva02_stage1", or a path ending in .toml.

    Raises:
        InputError: no such recipe, not TOML, a key is unknown (the nearest is offered), missing or
            out of its bounds; all faults are told at once.
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
    """Where a recipe is.

    Args:
        name_or_path: as `load_recipe` takes it.

    Raises:
        InputError: no recipe is called so, or there is no such file; the nearest is offered.
    """
    file = Path(name_or_path)
    if file.suffix != ".toml":
        name, known = file.as_posix(), shipped("recipes")
        if name not in known:
            said = unknown_name("recipe", name, known)
            raise InputError(f"{said} (a recipe's file ends in .toml)")
        return known[name]
    if not file.is_file():
        beside = (other.name for other in file.parent.glob("*.toml"))
        raise InputError(
            f"there is no recipe {file}: in {file.parent},"
            f" {unknown_name('file', file.name, beside)}"
        )
    return file
