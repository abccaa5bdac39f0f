"""The training of a model, step by step: gradients, optimiser, average of the weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3

from ensembler.errors import InputError
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.batches import autocast
from ensembler.training.recipe import Recipe
from predictors.shared.training.batch_norms import sync_batch_norms
from predictors.shared.training.freezing import (
    choose_trainable,
    frozen_modules,
    set_trainable,
    unchanging_names,
)
from predictors.shared.training.inputs import InputReader, Loaded
from predictors.shared.training.low_rank import merge_updates
from predictors.shared.training.optimisers import make_optimiser
from predictors.shared.training.reinitialise import rebuild_tower
from predictors.shared.training.sam import sam_step
from predictors.shared.training.schedule import Phase
from predictors.shared.training.state import (
    Numbers,
    digest_of,
    restore_optimiser,
    split_optimiser_state,
    strip_prefix,
)
from predictors.shared.training.tasks import Aim, Task
from predictors.shared.weights import StateDict


class Trainee(Protocol):
    """A torch module that can be trained.

    A parameter that comes without `requires_grad` is never trained. A tower that timm does not know
    may list its layers: `stem`, the modules before its blocks, and `blocks`, the lowest first.

    Attributes:
        tower: the module that a warm-up leaves frozen.
        preprocess: the preprocessing of its images.
    """

    tower: torch.nn.Module
    preprocess: Preprocess

    def __call__(self, pixels: torch.Tensor, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 - as the task wants it
        """Compute what the task's loss needs, of normalised (n, 3, height, width) pixels.

        A model from pixels to vectors returns these, (n, dim), and has `dim` as an attribute. A
        captioner is a `CaptionTrainee`.
        """


class Learner:
    """A model that is trained by a recipe, in this process and in those beside it.

    Attributes:
        model: the module.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        recipe: Recipe,
        accelerator: Accelerator,
        reader: InputReader,
        task: Task,
    ) -> None:
        """Prepare a model and move it to its device; call `enter` before the first step.

        Args:
            model: a `Trainee` with its initial weights; changed in place.
            recipe: the recipe.
            accelerator: the processes that share the work.
            reader: reads the images.
            task: gives targets and loss.

        Raises:
            InputError: the recipe freezes, adapts or reinitialises blocks that the model lacks.
            PredictorError: see `rebuild_tower`.
        """
        self._task = task
        self._recipe, self._accelerator, self._reader = recipe, accelerator, reader
        self._device = accelerator.device
        torch.manual_seed(recipe.seed)  # for the weights that are new in the model
        rebuild_tower(model, recipe)
        self._learning = choose_trainable(model, recipe, partial(_blank_loss, model, task))
        model = sync_batch_norms(model, accelerator)
        self.model = model.to(self._device, memory_format=torch.channels_last)
        self._average = None if recipe.ema is None else ModelEmaV3(self.model, decay=recipe.ema)
        self._wrapped: Any = None
        self._frozen_digest: str | None = None
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=recipe.precision == "float16"
        )

    @property
    def judged(self) -> torch.nn.Module:
        """The model that is validated and saved: the average, where the recipe keeps one."""
        return self.model if self._average is None else self._average.module

    @property
    def scale(self) -> float | None:
        """The factor of float16's gradients; None in other precisions.

        A step that lowers it was skipped: its gradients were not finite.
        """
        return self._scaler.get_scale() if self._scaler.is_enabled() else None

    @property
    def frozen(self) -> str:
        """The digest of the weights that no step so far, nor any of this phase, changes."""
        if self._frozen_digest is None:
            self._frozen_digest = digest_of(self._unchanged())
        return self._frozen_digest

    def enter(self, phase: Phase) -> None:
        """Begin a phase, with a new optimiser.

        Raises:
            InputError: only the head is to be trained, and there is none.
        """
        self._phase = phase
        set_trainable(self.model, self._learning, head_only=phase.head_only)
        self._freeze_unused()
        if not any(weight.requires_grad for weight in self.model.parameters()):
            raise InputError(
                "warmup and freeze = 1 train the head alone, and this predictor has none: remove"
                " them"
            )
        self._frozen = frozen_modules(self.model)
        self._unchanging, self._frozen_digest = unchanging_names(self.model), None
        self._optimiser = make_optimiser(self.model, self._recipe.optimiser)
        if self._wrapped is not None:
            self._wrapped = None
            self._accelerator.free_memory()  # the hooks of the phase before would stay
        self._wrapped = self._accelerator.prepare_model(self._reader.module(self.model))

    def learn(self, step: int, images: Loaded, aim: Aim) -> float:
        """Take one step.

        Every process computes the loss of the whole batch, from the outputs of all; only its own
        carry a gradient. The mean of the gradients over the processes, times their number, is the
        whole gradient: the result does not depend on the number of processes.

        Args:
            step: its number, which decides the learning rate and all that is random in the model.
            images: (accumulate × own, …) from the reader, this process's images of each part.
            aim: targets of the step.

        Returns:
            The loss of the batch; where it is not finite the weights are unchanged.
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
        """Update the weights by the gradients; return the loss, or NaN if they are not finite."""
        if self._recipe.optimiser.sam_rho is None:
            self._scaler.step(self._optimiser)
        elif not sam_step(self._optimiser, self._scaler, self.model, gradients):
            return np.nan
        self._scaler.update()
        if self._average is not None:
            self._average.update(self.model)
        return loss

    def _gradients(self, step: int, images: Loaded, aim: Aim) -> float:
        """Accumulate the gradients of a batch and return its loss; repeatable."""
        self._seed(step)
        self.model.train()
        for module in self._frozen:
            module.eval()
        total = 0.0
        for number, part in enumerate(np.split(images, aim.parts)):
            waits = number < aim.parts - 1
            with self._accelerator.no_sync(self._wrapped) if waits else nullcontext():
                inputs = self._reader.tensor(part, self._device)
                with autocast(self._recipe.precision, self._device):
                    output = self._wrapped(inputs, *aim.inputs(number, self._device))
                loss = aim.loss(output, number, self._gathered)
                self._scaler.scale(loss * self._accelerator.num_processes).backward()
            total += loss.item()
        return total

    def weights(self) -> StateDict:
        """A checkpoint of `judged`, as adapters load it, with low-rank updates merged."""
        return merge_updates(self.judged)

    def state(self) -> tuple[StateDict, Numbers, dict[str, float | int]]:
        """The state that the next steps depend on: tensors, numbers of optimiser and scaler.

        Frozen weights are left out: they are the initial ones, in the average too, and of a large
        tower gigabytes at every epoch.
        """
        optimiser, numbers = split_optimiser_state(self._optimiser)
        tensors = {f"optimiser.{name}": tensor for name, tensor in optimiser.items()}
        for prefix, model in self._models().items():
            for name, tensor in model.state_dict().items():
                if name not in self._unchanging:
                    tensors[f"{prefix}.{name}"] = tensor
        return tensors, numbers, self._scaler.state_dict()

    def restore(self, tensors: StateDict, numbers: Numbers, scaler: dict[str, float | int]) -> None:
        """Resume from what `state` gave, in the phase in which it was taken."""
        unchanged = self._unchanged()
        for prefix, model in self._models().items():
            model.load_state_dict(unchanged | strip_prefix(f"{prefix}.", tensors))
        restore_optimiser(self._optimiser, strip_prefix("optimiser.", tensors), numbers)
        self._scaler.load_state_dict(scaler)

    def _models(self) -> dict[str, torch.nn.Module]:
        """The modules with weights, by their prefix in a state."""
        average = {} if self._average is None else {"average": self._average.module}
        return {"model": self.model, **average}

    def _unchanged(self) -> StateDict:
        """The tensors that a state leaves out."""
        state: StateDict = self.model.state_dict()
        return {name: state[name] for name in state if name in self._unchanging}

    def _freeze_unused(self) -> None:
        """Freeze parameters that no loss depends on, such as an unused pooling layer.

        Several processes would wait for their gradients.
        """
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        loss = _blank_loss(self.model, self._task)
        if not loss.requires_grad:
            return
        for weight, gradient in zip(
            weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True
        ):
            weight.requires_grad_(gradient is not None)

    def _gathered(self, own: torch.Tensor) -> torch.Tensor:
        """The rows of all processes, (processes × own, …)."""
        if self._accelerator.num_processes == 1:
            return own
        rows = list(self._accelerator.gather(own.detach()).split(len(own)))
        rows[self._accelerator.process_index] = own
        return torch.cat(rows)

    def _seed(self, step: int) -> None:
        """Seed torch: what is random in the model, as stochastic depth, depends on the step."""
        entropy = [self._recipe.seed, step, self._accelerator.process_index]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


def _blank_loss(model: Any, task: Task) -> torch.Tensor:  # noqa: ANN401 - a Trainee
    """The loss of a blank image, which shows the parameters that take part."""
    wants, device = model.preprocess, next(model.parameters()).device
    aim = task.blank_aim()
    blank = torch.zeros(1, 3, wants.height, wants.width, device=device)
    return aim.loss(model.eval()(blank, *aim.inputs(0, device)), 0, lambda rows: rows)
