"""The schedule: learning rate of each step, and whether the tower is frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ensembler.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Consecutive steps with one optimiser over one set of parameters.

    Attributes:
        first: its first step, counted from 0 over the whole training.
        last: the first step after it.
        lr: learning rate of its first step.
        lr_end: learning rate of its last step.
        head_only: whether the tower is frozen.
    """

    first: int
    last: int
    lr: float
    lr_end: float
    head_only: bool

    def rate(self, step: int) -> float:
        """The learning rate of a step: half a cosine from `lr` to `lr_end`, both reached."""
        done = (step - self.first) / max(1, self.last - self.first - 1)
        return self.lr_end + (self.lr - self.lr_end) * (1.0 + math.cos(math.pi * done)) / 2.0


def phases(recipe: Recipe, epoch_steps: int) -> tuple[Phase, ...]:
    """The phases of a recipe: warm-up and main phase, either of which may be missing.

    Args:
        recipe: its epochs, warmup, freeze and optimiser count.
        epoch_steps: steps per epoch.
    """
    warm = 0 if recipe.warmup is None else recipe.warmup.epochs * epoch_steps
    parts = []
    if recipe.warmup is not None:
        rate = recipe.warmup.lr
        parts.append(Phase(first=0, last=warm, lr=rate, lr_end=rate, head_only=True))
    if (end := recipe.epochs * epoch_steps) > warm:
        step = recipe.optimiser
        alone = recipe.freeze == 1.0
        parts.append(Phase(first=warm, last=end, lr=step.lr, lr_end=step.lr_end, head_only=alone))
    return tuple(parts)


def is_head_only(phases: tuple[Phase, ...]) -> bool:
    """Whether the tower is never trained."""
    return all(phase.head_only for phase in phases)
