"""What captioners are trained towards: the prompts themselves, token by token.

A row's costs are summed, gathered like vectors, and divided by the tokens of the whole batch: the
loss is the mean over tokens, however processes and parts share the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.predicting.contract import Captioner
from ensembler.training.contract import FoldJob
from ensembler.training.recipe import Loss
from predictors.shared.pixels import to_tensor
from predictors.shared.text import TextHead, load_text_head
from predictors.shared.training.intake import Intake, Loaded
from predictors.shared.training.learner import Trainee
from predictors.shared.training.losses import loss_of
from predictors.shared.training.state import Tensors
from predictors.shared.training.targets import Targets
from predictors.shared.training.tasks import VECTOR_LOSSES, Gather, Judged, check_served
from predictors.shared.training.texts import Frame, Texts, tokenised


class Pairs(NamedTuple):
    """Images and prompts in a space that a captioner has for both.

    Attributes:
        images: (n, dim).
        texts: (n, dim), of unit length.
        scale: (n,) of their cosines, as the model has learned it; all the same.
    """

    images: torch.Tensor
    texts: torch.Tensor
    scale: torch.Tensor


class Said(NamedTuple):
    """What a captioner makes of images and their prompts' tokens.

    Attributes:
        nll: (n,) float32, what each prompt costs, summed over its tokens.
        pairs: of a captioner with a text tower.
    """

    nll: torch.Tensor
    pairs: Pairs | None = None


class CaptionTrainee(Trainee, Protocol):
    """A torch module that learns to say what is in an image.

    Attributes:
        serves: the losses that it can be trained by, by name.
        frame: around the tokens of a text.
        files: what `write` writes: role of the adapter → its name in the folder.
    """

    serves: tuple[str, ...]
    frame: Frame
    files: Mapping[str, str]

    def __call__(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Said:
        """What it makes of images and their prompts.

        Args:
            pixels: (n, 3, height, width), normalised.
            tokens: (n, length) int64, framed, with PADDING behind.
        """

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""

    def captioner(self, head: TextHead) -> Captioner:
        """What describes images with the weights as they are."""

    def write(self, weights: Tensors, folder: Path) -> None:
        """Write weights, named as in its `state_dict`, for the adapter to load."""


@dataclass(frozen=True, slots=True)
class TextAim:
    """Prompts of a step.

    Attributes:
        tokens: (n, length) of each part, this process's.
        asked: tokens that the model is asked for, of all parts and processes.
        terms: the losses' weights.
    """

    tokens: Sequence[NDArray[np.int64]]
    asked: int
    terms: Loss

    @property
    def parts(self) -> int:
        """Parts that follow each other."""
        return len(self.tokens)

    def inputs(self, part: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The tokens."""
        return (torch.from_numpy(self.tokens[part]).to(device),)

    def loss(self, output: Said, part: int, gathered: Gather) -> torch.Tensor:
        """See `Aim.loss`; a part's negatives are those of the part."""
        del part
        total = torch.zeros((), device=output.nll.device)
        # What has no weight is left out: a gradient of zero would still let its parameters decay.
        if self.terms.tokens:
            total = total + self.terms.tokens * gathered(output.nll).sum() / self.asked
        if output.pairs is not None and not {*VECTOR_LOSSES}.isdisjoint(self.terms.weighed):
            images, texts, scale = (gathered(one.float()) for one in output.pairs)
            total = total + loss_of(images, texts, self.terms, scale.mean()) / self.parts
        return total


@dataclass(frozen=True, slots=True)
class TextTask:
    """Images are described in the words of their prompts.

    Attributes:
        targets: of all prompts, which what it says is judged by.
        texts: all prompts.
        terms: the losses' weights.
        head: what turns texts into vectors.
        cut: prompts of which only the beginning is learned.
    """

    targets: Targets
    texts: Texts
    terms: Loss
    head: TextHead
    cut: int

    def aim(self, rows: NDArray[np.int64], own: int) -> TextAim:
        """See `Task.aim`."""
        return TextAim(
            [self.texts.padded(part[own]) for part in rows],
            self.texts.asked(rows.ravel()),
            self.terms,
        )

    def blank_aim(self) -> TextAim:
        """See `Task.blank_aim`."""
        return self.aim(np.zeros((1, 1, 1), np.int64), 0)

    def judged(
        self, model: torch.nn.Module, loaded: Loaded, rows: NDArray[np.int64], device: torch.device
    ) -> Judged:
        """The vectors of what is said of images, and what their prompts would have cost."""
        pixels = to_tensor(loaded, model.preprocess, device)
        said: Said = model(pixels, torch.from_numpy(self.texts.padded(rows)).to(device))
        vectors = model.captioner(self.head).embed(loaded)
        return Judged(vectors, float(said.nll.double().sum()), self.texts.asked(rows))


def text_task(model: CaptionTrainee, targets: Targets, job: FoldJob, intake: Intake) -> TextTask:
    """The task of a captioner.

    Args:
        model: it.
        targets: of all prompts.
        job: whose recipe says the losses, and whose config frames what is said.
        intake: not asked: a captioner is shown images.

    Raises:
        InputError: the recipe weighs a loss that the captioner has nothing for.
        PredictorError: the sentence encoder cannot be loaded.
    """
    del intake
    check_served(job.recipe.loss, model.serves)
    head = load_text_head(job.encoder, prefix=job.config.prefix, suffix=job.config.suffix)
    model.captioner(head)  # a config that it cannot be asked with is told before an epoch is over
    progress = partial(job.progress, "tokenising prompts")
    texts = tokenised(job.data.prompts, model.tokenise, model.frame, progress)
    return TextTask(targets, texts, job.recipe.loss, head, int(texts.cut.sum()))
