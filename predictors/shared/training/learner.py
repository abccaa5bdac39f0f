"""A model that learns: its optimiser, its average, and one step of both."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from timm.utils import ModelEmaV3

from ensembler.errors import InputError
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.batches import Precision
from ensembler.training.recipe import Recipe
from predictors.shared.pixels import to_tensor
from predictors.shared.training.losses import loss_of
from predictors.shared.training.optimisers import make_optimiser
from predictors.shared.training.schedule import Phase
from predictors.shared.training.state import Numbers, Tensors, put_together, take_apart


class Trainee(Protocol):
    """A torch module that can be trained: from normalised pixels to vectors.

    Attributes:
        tower: what a warm-up leaves frozen.
        head: what it trains; the two hold all parameters.
        dim: numbers in a vector.
        preprocess: how it wants its images.
    """

    tower: torch.nn.Module
    head: torch.nn.Module
    dim: int
    preprocess: Preprocess

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, dim) vectors of (n, 3, height, width) pixels."""


class Learner:
    """A model under a recipe, in this process and those beside it.

    Attributes:
        model: the module itself.
    """

    def __init__(self, model: torch.nn.Module, recipe: Recipe, accelerator: Accelerator) -> None:
        """Put it on its device; `enter` comes before the first step."""
        self._recipe, self._accelerator = recipe, accelerator
        self._device = accelerator.device
        if self._device.type == "cuda" and accelerator.num_processes > 1:
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
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

    def enter(self, phase: Phase) -> None:
        """Begin a phase, with an optimiser that remembers nothing.

        Raises:
            InputError: the head alone is to be trained, and there is none.
        """
        self._phase = phase
        self.model.requires_grad_(True)
        self.model.tower.requires_grad_(not phase.head_only)
        self._freeze_unused()
        if not any(weight.requires_grad for weight in self.model.parameters()):
            raise InputError(
                "warmup trains the head alone, and this predictor has none: take it out"
            )
        self._optimiser = make_optimiser(self.model, self._recipe.optimiser)
        if self._wrapped is not None:
            self._wrapped = None
            self._accelerator.free_memory()  # the phase before would still listen to the gradients
        self._wrapped = self._accelerator.prepare_model(self.model)

    def learn(self, step: int, images: NDArray[np.uint8], targets: NDArray[np.float32]) -> float:
        """One step.

        Every process computes the loss of the whole batch, from everybody's vectors; only its own
        carry a gradient. Their mean over the processes, times their number, is the whole gradient,
        so that what is learned does not depend on how many share the work.

        Args:
            step: its number, which decides the learning rate and whatever is random in the model.
            images: (accumulate × own, height, width, 3) uint8, this process's of each part.
            targets: (accumulate, processes × own, d), of all processes, in their order.

        Returns:
            The loss of the batch; where it is no number nothing was learned.
        """
        self._seed(step)
        self.model.train()
        if self._phase.head_only:
            self.model.tower.eval()
        for group in self._optimiser.param_groups:
            group["lr"] = self._phase.rate(step)
        total = 0.0
        parts = len(targets)
        for number, part in enumerate(np.split(images, parts)):
            waits = number < parts - 1
            with self._accelerator.no_sync(self._wrapped) if waits else nullcontext():
                pixels = to_tensor(part, self.model.preprocess, self._device)
                with autocast(self._recipe.precision, self._device):
                    own = self._wrapped(pixels)
                wanted = torch.from_numpy(targets[number]).to(self._device)
                loss = loss_of(self._gathered(own.float()), wanted, self._recipe.loss) / parts
                self._scaler.scale(loss * self._accelerator.num_processes).backward()
            total += loss.item()
        if np.isfinite(total):
            self._scaler.step(self._optimiser)
            self._scaler.update()
            if self._average is not None:
                self._average.update(self.model)
        self._optimiser.zero_grad(set_to_none=True)
        return total

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
        self.model.load_state_dict(_below("model.", tensors))
        put_together(self._optimiser, _below("optimiser.", tensors), numbers)
        self._scaler.load_state_dict(scaler)
        if self._average is not None:
            self._average.module.load_state_dict(_below("average.", tensors))

    def _freeze_unused(self) -> None:
        """Freeze what no vector depends on, as the pooling of a tower whose features are a mean.

        Several processes would wait for its gradient.
        """
        weights = [one for one in self.model.parameters() if one.requires_grad]
        wants = self.model.preprocess
        blank = torch.zeros(1, 3, wants.height, wants.width, device=self._device)
        vectors = self.model.eval()(blank)
        if not vectors.requires_grad:
            return
        for weight, gradient in zip(
            weights, torch.autograd.grad(vectors.sum(), weights, allow_unused=True), strict=True
        ):
            weight.requires_grad_(gradient is not None)

    def _gathered(self, own: torch.Tensor) -> torch.Tensor:
        """Everybody's vectors, (processes × own, dim)."""
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


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {n.removeprefix(prefix): one for n, one in tensors.items() if n.startswith(prefix)}
