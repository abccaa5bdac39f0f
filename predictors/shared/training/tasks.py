"""The contract of training tasks, and the task of models from pixels to vectors.

The loop handles images and rows; a task gives the targets of a step, its loss, and the outputs that
are validated. The task of captioners is in `predictors.shared.training.captions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.errors import InputError, PredictorError, first_few
from ensembler.training.contract import FoldJob
from ensembler.training.recipe import Loss
from predictors.shared.training.inputs import InputReader, Loaded
from predictors.shared.training.losses import loss_of
from predictors.shared.training.targets import Targets

VECTOR_LOSSES = ("cosine", "ranking", "info_nce")

Gather = Callable[[torch.Tensor], torch.Tensor]  # rows of this process → rows of all


class Aim(Protocol):
    """The targets of one step, in this process."""

    @property
    def parts(self) -> int:
        """Number of parts of the batch."""

    def inputs(self, part: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The inputs of a part that the model gets beside its images."""

    def loss(self, output: Any, part: int, gathered: Gather) -> torch.Tensor:  # noqa: ANN401 - the model's
        """A part's share of the loss of the whole batch, over all processes.

        The shares of all parts add up to the loss.

        Args:
            output: output of the model for this process's images.
            part: number of the part.
            gathered: gathers the rows of all processes; only this process's carry a gradient.

        Returns:
            A scalar float32.
        """


class Judged(NamedTuple):
    """The outputs of a model for some held-out images.

    Attributes:
        vectors: (n, d) float32, of the targets' dimension.
        nll: negative log-likelihood of the prompts, summed over tokens; 0 without captions.
        tokens: number of tokens in that sum.
    """

    vectors: NDArray[np.float32]
    nll: float = 0.0
    tokens: int = 0


class Task(Protocol):
    """The training task of a model."""

    @property
    def targets(self) -> Targets:
        """The vectors of all prompts."""

    @property
    def cut(self) -> int:
        """Number of prompts that are cut at their end."""

    def aim(self, rows: NDArray[np.int64], own: int) -> Aim:
        """The targets of a step.

        Args:
            rows: (parts, processes, n) rows of the prompts.
            own: index of this process.
        """

    def blank_aim(self) -> Aim:
        """An aim of one part and one image of one process, to see what a loss depends on."""

    def judged(
        self, model: torch.nn.Module, loaded: Loaded, rows: NDArray[np.int64], device: torch.device
    ) -> Judged:
        """Run a model on held-out images, to be validated.

        Args:
            model: a `Trainee` in eval mode.
            loaded: the images, from the reader.
            rows: (n,) rows of their prompts.
            device: device of the model.
        """


# Makes a task from a model, the prompts' targets, the job and the reader.
TaskMaker = Callable[[Any, Targets, FoldJob, InputReader], Task]


@dataclass(frozen=True, slots=True)
class VectorAim:
    """The targets of a step: vectors.

    Attributes:
        targets: (parts, processes × n, d), of all processes, in their order.
        terms: weights of the losses.
    """

    targets: NDArray[np.float32]
    terms: Loss

    @property
    def parts(self) -> int:
        """Number of parts of the batch."""
        return len(self.targets)

    def inputs(self, part: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """No inputs beside pixels."""
        del part, device
        return ()

    def loss(self, output: torch.Tensor, part: int, gathered: Gather) -> torch.Tensor:
        """See `Aim.loss`; a part's negatives come from the part alone."""
        wanted = torch.from_numpy(self.targets[part]).to(output.device)
        return loss_of(gathered(output.float()), wanted, self.terms) / self.parts


@dataclass(frozen=True, slots=True)
class VectorTask:
    """The task of models from pixels to vectors: to predict the vectors of the prompts.

    Attributes:
        targets: vectors of all prompts.
        terms: weights of the losses.
        reader: reads the images.
        cut: 0: no prompt is cut.
    """

    targets: Targets
    terms: Loss
    reader: InputReader
    cut: int = 0

    def aim(self, rows: NDArray[np.int64], own: int) -> VectorAim:
        """See `Task.aim`."""
        del own  # every process computes the loss of all
        return VectorAim(self.targets.vectors[rows.reshape(len(rows), -1)], self.terms)

    def blank_aim(self) -> VectorAim:
        """See `Task.blank_aim`."""
        return self.aim(np.zeros((1, 1, 1), np.int64), 0)

    def judged(
        self, model: torch.nn.Module, loaded: Loaded, rows: NDArray[np.int64], device: torch.device
    ) -> Judged:
        """The vectors of images."""
        del rows
        module = self.reader.module(model)
        vectors = module(self.reader.tensor(loaded, device))
        return Judged(vectors.float().cpu().numpy())


def vector_task(model: Any, targets: Targets, job: FoldJob, reader: InputReader) -> VectorTask:  # noqa: ANN401 - a Trainee
    """Make the task of a model from pixels to vectors.

    Args:
        model: its `dim` must be that of the targets.
        targets: vectors of all prompts.
        job: its recipe gives the losses.
        reader: reads the images.

    Raises:
        InputError: the recipe weighs a loss of texts.
        PredictorError: the model's vectors are not of the targets' dimension.
    """
    check_served(job.recipe.loss, VECTOR_LOSSES)
    if model.dim != targets.vectors.shape[1]:
        raise PredictorError(
            f"config: the vectors have {model.dim} numbers, and the targets"
            f" {targets.vectors.shape[1]}; set head.dim = {targets.vectors.shape[1]}"
        )
    return VectorTask(targets, job.recipe.loss, reader)


def check_served(terms: Loss, served: Iterable[str]) -> None:
    """Refuse a loss that a predictor cannot be trained by.

    Args:
        terms: losses of the recipe.
        served: names of the losses that the predictor can be trained by.

    Raises:
        InputError: the recipe weighs another loss.
    """
    refused = [name for name in terms.weighed if name not in served]
    if refused:
        raise InputError(
            f"this predictor cannot be trained by loss.{first_few(refused)}; weigh"
            f" {first_few(served)} in the recipe's loss"
        )
