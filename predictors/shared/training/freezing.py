"""Which of a model's parameters learn, and which of its modules behave as in a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ensembler.training.recipe import Recipe
from predictors.shared.training.layers import Names, shares
from predictors.shared.training.low_rank import UPDATE, add_updates, plain


def divide(model: Any, recipe: Recipe, glance: Callable[[], object]) -> Names:  # noqa: ANN401 - a Trainee
    """Decide what learns once more than the head does; what comes without a gradient never does.

    Args:
        model: with its weights; low-rank updates are added to it, where the recipe has them.
        recipe: whose freeze and lora count.
        glance: sends an image through the model.

    Returns:
        The names of what learns.

    Raises:
        InputError: the recipe shares out blocks that the model has not.
    """
    free = {name for name, weight in model.named_parameters() if weight.requires_grad}
    frozen, adapted = shares(model, recipe)
    if recipe.lora is not None:
        add_updates(model, adapted, recipe.lora, glance)
    free -= frozen | adapted
    names = (name for name, _ in model.named_parameters())
    return frozenset(name for name in names if UPDATE in name or plain(name) in free)


def let_learn(model: Any, names: Names, *, head_only: bool) -> None:  # noqa: ANN401 - a Trainee
    """Turn on the gradients of what learns in a phase, and off all others.

    Args:
        model: changed in place.
        names: as `divide` gives them.
        head_only: none of the tower's.
    """
    tower = set(map(id, model.tower.parameters())) if head_only else set()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in names and id(weight) not in tower)


def frozen_modules(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Modules that have parameters, none of which learns.

    They stay in eval mode: batch norms keep their statistics, and nothing is dropped within them.
    """
    return [
        module
        for module in model.modules()
        if {weight.requires_grad for weight in module.parameters()} == {False}
    ]
