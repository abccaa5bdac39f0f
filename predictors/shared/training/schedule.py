"""How far each step goes, and what it may move."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ensembler.training.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Steps with one optimiser over one set of parameters.

    Attributes:
        first: its first step, counted from 0 over the whole training.
        last: the first step after it.
        lr: of its first step.
        lr_end: of its last.
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
    """The warm-up, where there is one, and the rest, where there is one.

    Args:
        recipe: whose epochs, warmup and optimiser count.
        epoch_steps: steps of one epoch.
    """
    warm = 0 if recipe.warmup is None else recipe.warmup.epochs * epoch_steps
    found = []
    if recipe.warmup is not None:
        rate = recipe.warmup.lr
        found.append(Phase(first=0, last=warm, lr=rate, lr_end=rate, head_only=True))
    if (end := recipe.epochs * epoch_steps) > warm:
        step = recipe.optimiser
        alone = recipe.freeze == 1.0
        found.append(Phase(first=warm, last=end, lr=step.lr, lr_end=step.lr_end, head_only=alone))
    return tuple(found)


def is_head_only(phases: tuple[Phase, ...]) -> bool:
    """Whether the tower is never trained."""
    return all(phase.head_only for phase in phases)
