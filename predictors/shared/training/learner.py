"""A model that learns: its optimiser, its average, and one step of both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3

from ensembler.errors import InputError
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.batches import Precision
from ensembler.training.recipe import Recipe
from predictors.shared.training.batch_norms import seeing_all
from predictors.shared.training.freezing import divide, frozen_modules, let_learn
from predictors.shared.training.intake import Intake, Loaded
from predictors.shared.training.low_rank import merged
from predictors.shared.training.optimisers import make_optimiser
from predictors.shared.training.renewing import renew_tower
from predictors.shared.training.schedule import Phase
from predictors.shared.training.sharpness import step_uphill_and_back
from predictors.shared.training.state import Numbers, Tensors, below, put_together, take_apart
from predictors.shared.training.tasks import Aim, Task


class Trainee(Protocol):
    """A torch module that can be trained.

    A parameter that comes without `requires_grad` never learns. A tower that timm does not know may
    tell its layers: `stem`, the modules before its blocks, and `blocks`, the lowest first.

    Attributes:
        tower: what a warm-up leaves frozen.
        preprocess: how it wants its images.
    """

    tower: torch.nn.Module
    preprocess: Preprocess

    def __call__(self, pixels: torch.Tensor, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 - as the task wants it
        """What its task's loss is computed from, of normalised (n, 3, height, width) pixels.

        A model from pixels to vectors gives them, (n, dim), and has their `dim` as an attribute. A
        captioner is a `CaptionTrainee`.
        """


class Learner:
    """A model under a recipe, in this process and those beside it.

    Attributes:
        model: the module itself.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        recipe: Recipe,
        accelerator: Accelerator,
        intake: Intake,
        task: Task,
    ) -> None:
        """Put it on its device; `enter` comes before the first step.

        Args:
            model: a `Trainee` with the weights to begin with; changed in place.
            recipe: how it learns.
            accelerator: the processes that share the work.
            intake: how images come to it.
            task: what they are compared with.

        Raises:
            InputError: the recipe freezes, adapts or renews what the model has not.
            PredictorError: as `renew_tower` says.
        """
        self._task = task
        self._recipe, self._accelerator, self._intake = recipe, accelerator, intake
        self._device = accelerator.device
        torch.manual_seed(recipe.seed)  # of what is new in the model
        renew_tower(model, recipe)
        self._learning = divide(model, recipe, partial(_blank_loss, model, task))
        model = seeing_all(model, accelerator)
        self.model = model.to(self._device, memory_format=torch.channels_last)
        self._average = None if recipe.ema is None else ModelEmaV3(self.model, decay=recipe.ema)
        self._wrapped: Any = None
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=recipe.precision == "float16"
        )

    @property
    def judged(self) -> torch.nn.Module:
        """The model whose vectors count: the average, where the recipe keeps one."""
        return self.model if self._average is None else self._average.module

    @property
    def scale(self) -> float | None:
        """What float16's gradients are multiplied by; None of other precisions.

        A step that lowers it left the weights where they were: its gradients were no numbers.
        """
        return self._scaler.get_scale() if self._scaler.is_enabled() else None

    def enter(self, phase: Phase) -> None:
        """Begin a phase, with an optimiser that remembers nothing.

        Raises:
            InputError: the head alone is to be trained, and there is none.
        """
        self._phase = phase
        let_learn(self.model, self._learning, head_only=phase.head_only)
        self._freeze_unused()
        if not any(weight.requires_grad for weight in self.model.parameters()):
            raise InputError(
                "warmup, as freeze = 1, trains the head alone, and this predictor has none: take it"
                " out"
            )
        self._frozen = frozen_modules(self.model)
        self._optimiser = make_optimiser(self.model, self._recipe.optimiser)
        if self._wrapped is not None:
            self._wrapped = None
            self._accelerator.free_memory()  # the phase before would still listen to the gradients
        self._wrapped = self._accelerator.prepare_model(self._intake.module(self.model))

    def learn(self, step: int, images: Loaded, aim: Aim) -> float:
        """One step.

        Every process computes the loss of the whole batch, from everybody's outputs; only its own
        carry a gradient. Their mean over the processes, times their number, is the whole gradient,
        so that what is learned does not depend on how many share the work.

        Args:
            step: its number, which decides the learning rate and whatever is random in the model.
            images: (accumulate × own, …) what the intake has read of this process's images of each
                part.
            aim: what they are compared with.

        Returns:
            The loss of the batch; where it is no number nothing was learned.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._phase.rate(step)
        gradients = partial(self._gradients, step, images, aim)
        loss = gradients()
        if np.isfinite(loss):
            loss = self._step(loss, gradients)
        self._optimiser.zero_grad(set_to_none=True)
        return loss

    def _step(self, loss: float, gradients: Callable[[], float]) -> float:
        """Move the weights by gradients that are there; the loss, or NaN where it cannot."""
        if self._recipe.optimiser.sam_rho is None:
            self._scaler.step(self._optimiser)
        elif not step_uphill_and_back(self._optimiser, self._scaler, self.model, gradients):
            return np.nan
        self._scaler.update()
        if self._average is not None:
            self._average.update(self.model)
        return loss

    def _gradients(self, step: int, images: Loaded, aim: Aim) -> float:
        """Add up the gradients of a whole batch; its loss. Twice the same gives the same."""
        self._seed(step)
        self.model.train()
        for module in self._frozen:
            module.eval()
        total = 0.0
        for number, part in enumerate(np.split(images, aim.parts)):
            waits = number < aim.parts - 1
            with self._accelerator.no_sync(self._wrapped) if waits else nullcontext():
                inputs = self._intake.tensor(part, self._device)
                with autocast(self._recipe.precision, self._device):
                    own = self._wrapped(inputs, *aim.inputs(number, self._device))
                loss = aim.loss(own, number, self._gathered)
                self._scaler.scale(loss * self._accelerator.num_processes).backward()
            total += loss.item()
        return total

    def weights(self) -> Tensors:
        """A checkpoint of `judged`, as adapters load it: low-rank updates are in the weights."""
        return merged(self.judged)

    def state(self) -> tuple[Tensors, Numbers, dict[str, float | int]]:
        """What the next steps depend on: tensors, the optimiser's numbers, the scaler's."""
        remembered, numbers = take_apart(self._optimiser)
        tensors = {f"model.{name}": one for name, one in self.model.state_dict().items()}
        tensors |= {f"optimiser.{name}": one for name, one in remembered.items()}
        if self._average is not None:
            average = self._average.module.state_dict()
            tensors |= {f"average.{name}": one for name, one in average.items()}
        return tensors, numbers, self._scaler.state_dict()

    def restore(self, tensors: Tensors, numbers: Numbers, scaler: dict[str, float | int]) -> None:
        """Go on from what `state` gave, in the phase that it was taken in."""
        self.model.load_state_dict(below("model.", tensors))
        put_together(self._optimiser, below("optimiser.", tensors), numbers)
        self._scaler.load_state_dict(scaler)
        if self._average is not None:
            self._average.module.load_state_dict(below("average.", tensors))

    def _freeze_unused(self) -> None:
        """Freeze what no loss depends on, as the pooling of a tower whose features are a mean.

        Several processes would wait for its gradient.
        """
        weights = [one for one in self.model.parameters() if one.requires_grad]
        loss = _blank_loss(self.model, self._task)
        if not loss.requires_grad:
            return
        for weight, gradient in zip(
            weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True
        ):
            weight.requires_grad_(gradient is not None)

    def _gathered(self, own: torch.Tensor) -> torch.Tensor:
        """Everybody's rows, (processes × own, …)."""
        if self._accelerator.num_processes == 1:
            return own
        everyones = list(self._accelerator.gather(own.detach()).split(len(own)))
        everyones[self._accelerator.process_index] = own
        return torch.cat(everyones)

    def _seed(self, step: int) -> None:
        """Make what is random in the model, as stochastic depth, a function of the step."""
        entropy = [self._recipe.seed, step, self._accelerator.process_index]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The arithmetic of a recipe's precision."""
    if precision == "float32":
        return nullcontext()
    context: AbstractContextManager[object] = torch.autocast(device.type, getattr(torch, precision))
    return context


def _blank_loss(model: Any, task: Task) -> torch.Tensor:  # noqa: ANN401 - a Trainee
    """The loss of a blank image, to see what has a part in it."""
    wants, device = model.preprocess, next(model.parameters()).device
    aim = task.blank_aim()
    blank = torch.zeros(1, 3, wants.height, wants.width, device=device)
    return aim.loss(model.eval()(blank, *aim.inputs(0, device)), 0, lambda rows: rows)
