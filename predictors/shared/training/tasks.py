"""What a model is trained towards: vectors that texts have, or the texts themselves.

The loop knows images and rows; a task says what a step's images are compared with, what their loss
is, and how good a model is. This one is of models from pixels to vectors; captioners have theirs in
`predictors.shared.training.captions`.
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
from predictors.shared.training.intake import Intake, Loaded
from predictors.shared.training.losses import loss_of
from predictors.shared.training.targets import Targets

VECTOR_LOSSES = ("cosine", "ranking", "info_nce")

Gather = Callable[[torch.Tensor], torch.Tensor]  # a row for each own image → for everybody's


class Aim(Protocol):
    """What one step is compared with, in this process."""

    @property
    def parts(self) -> int:
        """Parts that follow each other."""

    def inputs(self, part: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """What the model is given of a part beside its images."""

    def loss(self, output: Any, part: int, gathered: Gather) -> torch.Tensor:  # noqa: ANN401 - the model's
        """A part's share of the whole batch's loss, of all processes; the shares add up to it.

        Args:
            output: what the model made of this process's images.
            part: which.
            gathered: everybody's rows, of which only this process's carry a gradient.

        Returns:
            A scalar float32.
        """


class Judged(NamedTuple):
    """A model on some of what is held out.

    Attributes:
        vectors: (n, d) float32, of the targets' dimension.
        nll: of the prompts, summed over rows and tokens; 0 of what says no texts.
        tokens: that it was summed over.
    """

    vectors: NDArray[np.float32]
    nll: float = 0.0
    tokens: int = 0


class Task(Protocol):
    """What a model is trained towards."""

    @property
    def targets(self) -> Targets:
        """The vectors of all prompts."""

    @property
    def cut(self) -> int:
        """How many prompts are learned in their beginning only."""

    def aim(self, rows: NDArray[np.int64], own: int) -> Aim:
        """What a step is compared with.

        Args:
            rows: (parts, processes, n) of the prompts.
            own: which of the processes this is.
        """

    def blank_aim(self) -> Aim:
        """An aim of one part and one image of one process, to see what a loss depends on."""

    def judged(
        self, model: torch.nn.Module, loaded: Loaded, rows: NDArray[np.int64], device: torch.device
    ) -> Judged:
        """A model in eval mode on images of prompts.

        Args:
            model: a `Trainee`.
            loaded: what the intake has read of the images.
            rows: (n,) of the prompts.
            device: that the model is on.
        """


# Of a model, the prompts' targets, the job, and how images are read.
TaskMaker = Callable[[Any, Targets, FoldJob, Intake], Task]


@dataclass(frozen=True, slots=True)
class VectorAim:
    """Targets of a step.

    Attributes:
        targets: (parts, processes × n, d), of all processes, in their order.
        terms: the losses' weights.
    """

    targets: NDArray[np.float32]
    terms: Loss

    @property
    def parts(self) -> int:
        """Parts that follow each other."""
        return len(self.targets)

    def inputs(self, part: int, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Nothing: pixels are all it sees."""
        del part, device
        return ()

    def loss(self, output: torch.Tensor, part: int, gathered: Gather) -> torch.Tensor:
        """See `Aim.loss`; a part's negatives are those of the part."""
        wanted = torch.from_numpy(self.targets[part]).to(output.device)
        return loss_of(gathered(output.float()), wanted, self.terms) / self.parts


@dataclass(frozen=True, slots=True)
class VectorTask:
    """Vectors of images become those of their prompts.

    Attributes:
        targets: of all prompts.
        terms: the losses' weights.
        intake: reads the images.
        cut: no prompt is.
    """

    targets: Targets
    terms: Loss
    intake: Intake
    cut: int = 0

    def aim(self, rows: NDArray[np.int64], own: int) -> VectorAim:
        """See `Task.aim`."""
        del own  # everybody computes everybody's loss
        return VectorAim(self.targets.vectors[rows.reshape(len(rows), -1)], self.terms)

    def blank_aim(self) -> VectorAim:
        """See `Task.blank_aim`."""
        return self.aim(np.zeros((1, 1, 1), np.int64), 0)

    def judged(
        self, model: torch.nn.Module, loaded: Loaded, rows: NDArray[np.int64], device: torch.device
    ) -> Judged:
        """The vectors of images."""
        del rows
        module = self.intake.module(model)
        vectors = module(self.intake.tensor(loaded, device))
        return Judged(vectors.float().cpu().numpy())


def vector_task(model: Any, targets: Targets, job: FoldJob, intake: Intake) -> VectorTask:  # noqa: ANN401 - a Trainee
    """The task of a model from pixels to vectors.

    Args:
        model: whose `dim` counts.
        targets: of all prompts.
        job: whose recipe says the losses.
        intake: reads the images.

    Raises:
        InputError: the recipe weighs a loss of texts.
        PredictorError: the model's vectors are not of the targets' dimension.
    """
    check_served(job.recipe.loss, VECTOR_LOSSES)
    if model.dim != targets.vectors.shape[1]:
        raise PredictorError(
            f"config: the vectors have {model.dim} numbers, and the targets"
            f" {targets.vectors.shape[1]}; say so in head.dim"
        )
    return VectorTask(targets, job.recipe.loss, intake)


def check_served(terms: Loss, served: Iterable[str]) -> None:
    """Refuse a loss that a predictor cannot be trained by.

    Args:
        terms: of the recipe.
        served: the losses that it can, by name.

    Raises:
        InputError: with those that it can.
    """
    others = [name for name in terms.weighed if name not in served]
    if others:
        raise InputError(
            f"this predictor cannot be trained by loss.{first_few(others)}; weigh"
            f" {first_few(served)} in the recipe's loss"
        )
