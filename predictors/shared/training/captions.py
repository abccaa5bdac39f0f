"""The training task of captioners: to predict the prompts, token by token.

The negative log-likelihood of a row is summed over its tokens, gathered like vectors, and divided
by the tokens of the whole batch: the loss is the mean over tokens, however processes and parts
share the batch.
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
from predictors.shared.training.inputs import InputReader, Loaded
from predictors.shared.training.learner import Trainee
from predictors.shared.training.losses import loss_of
from predictors.shared.training.targets import Targets
from predictors.shared.training.tasks import VECTOR_LOSSES, Gather, Judged, check_served
from predictors.shared.training.texts import Frame, Texts, tokenise_prompts
from predictors.shared.weights import StateDict


class Pairs(NamedTuple):
    """Vectors of images and prompts in a captioner's common space.

    Attributes:
        images: (n, dim).
        texts: (n, dim), of unit length.
        scale: (n,) the learned scale of their cosines; all entries are equal.
    """

    images: torch.Tensor
    texts: torch.Tensor
    scale: torch.Tensor


class CaptionOutput(NamedTuple):
    """A captioner's output for images and their prompts' tokens.

    Attributes:
        nll: (n,) float32, negative log-likelihood of each prompt, summed over its tokens.
        pairs: vectors of images and prompts; None without a text tower.
    """

    nll: torch.Tensor
    pairs: Pairs | None = None


class CaptionTrainee(Trainee, Protocol):
    """A torch module that learns to caption images.

    Attributes:
        serves: names of the losses that it can be trained by.
        frame: the tokens around a text's own.
        files: the files that `write` writes: role of the adapter → name in the folder.
    """

    serves: tuple[str, ...]
    frame: Frame
    files: Mapping[str, str]

    def __call__(self, pixels: torch.Tensor, tokens: torch.Tensor) -> CaptionOutput:
        """Compute the likelihood of the prompts of images.

        Args:
            pixels: (n, 3, height, width), normalised.
            tokens: (n, length) int64, framed, then PADDING.
        """

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""

    def captioner(self, head: TextHead) -> Captioner:
        """A captioner with the current weights."""

    def write(self, weights: StateDict, folder: Path) -> None:
        """Write weights, named as in its `state_dict`, in files that the adapter loads."""


@dataclass(frozen=True, slots=True)
class TextAim:
    """The targets of a captioner's step: prompts.

    Attributes:
        tokens: (n, length) of each part, this process's.
        predicted: tokens that the model predicts, of all parts and processes.
        terms: weights of the losses.
    """

    tokens: Sequence[NDArray[np.int64]]
    predicted: int
    terms: Loss

    @property
    def parts(self) -> int:
        """Number of parts of the batch."""
        return len(self.tokens)

    def inputs(self, part: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The tokens of a part."""
        return (torch.from_numpy(self.tokens[part]).to(device),)

    def loss(self, output: CaptionOutput, part: int, gathered: Gather) -> torch.Tensor:
        """See `Aim.loss`; a part's negatives come from the part alone."""
        del part
        total = torch.zeros((), device=output.nll.device)
        # Losses without weight are left out: weight decay would act even on zero gradients.
        if self.terms.tokens:
            total = total + self.terms.tokens * gathered(output.nll).sum() / self.predicted
        if output.pairs is not None and not {*VECTOR_LOSSES}.isdisjoint(self.terms.weighed):
            images, texts, scale = (gathered(tensor.float()) for tensor in output.pairs)
            total = total + loss_of(images, texts, self.terms, scale.mean()) / self.parts
        return total


@dataclass(frozen=True, slots=True)
class TextTask:
    """The task of captioners: to write the prompts of images.

    Attributes:
        targets: vectors of all prompts, for the validation of captions.
        texts: tokens of all prompts.
        terms: weights of the losses.
        head: turns captions into vectors.
        cut: number of prompts that are cut at their end.
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
            self.texts.predicted(rows.ravel()),
            self.terms,
        )

    def blank_aim(self) -> TextAim:
        """See `Task.blank_aim`."""
        return self.aim(np.zeros((1, 1, 1), np.int64), 0)

    def judged(
        self, model: torch.nn.Module, loaded: Loaded, rows: NDArray[np.int64], device: torch.device
    ) -> Judged:
        """The vectors of captions, and the negative log-likelihood of the prompts."""
        pixels = to_tensor(loaded, model.preprocess, device)
        output: CaptionOutput = model(pixels, torch.from_numpy(self.texts.padded(rows)).to(device))
        vectors = model.captioner(self.head).embed(loaded)
        return Judged(vectors, float(output.nll.double().sum()), self.texts.predicted(rows))


def text_task(
    model: CaptionTrainee, targets: Targets, job: FoldJob, reader: InputReader
) -> TextTask:
    """Make the task of a captioner.

    Args:
        model: the captioner.
        targets: vectors of all prompts.
        job: its recipe gives the losses, its config prefix and suffix of the captions.
        reader: not used: a captioner always sees pixels.

    Raises:
        InputError: the recipe weighs a loss that the captioner does not serve.
        PredictorError: the sentence encoder cannot be loaded.
    """
    del reader
    check_served(job.recipe.loss, model.serves)
    head = load_text_head(job.encoder, prefix=job.config.prefix, suffix=job.config.suffix)
    model.captioner(head)  # refuses an unusable config now, not after the first epoch
    progress = partial(job.progress, "tokenising prompts")
    texts = tokenise_prompts(job.data.prompts, model.tokenise, model.frame, progress)
    return TextTask(targets, texts, job.recipe.loss, head, int(texts.cut.sum()))
