"""Freezing: the parameters that are trained, and the modules that stay in eval mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ensembler.training.recipe import Recipe
from predictors.shared.training.layers import Names, share_out_layers
from predictors.shared.training.low_rank import UPDATE, add_updates, plain


def choose_trainable(model: Any, recipe: Recipe, glance: Callable[[], object]) -> Names:  # noqa: ANN401 - a Trainee
    """Choose the parameters that are trained after the warm-up, and add low-rank updates.

    A parameter without `requires_grad` is never chosen.

    Args:
        model: a `Trainee` with its weights; low-rank updates are added if the recipe has them.
        recipe: its freeze and lora count.
        glance: sends an image through the model.

    Returns:
        The names of the trained parameters.

    Raises:
        InputError: the recipe freezes or adapts blocks that the model lacks.
    """
    free = {name for name, weight in model.named_parameters() if weight.requires_grad}
    frozen, adapted = share_out_layers(model, recipe)
    if recipe.lora is not None:
        add_updates(model, adapted, recipe.lora, glance)
    free -= frozen | adapted
    names = (name for name, _ in model.named_parameters())
    return frozenset(name for name in names if UPDATE in name or plain(name) in free)


def set_trainable(model: Any, names: Names, *, head_only: bool) -> None:  # noqa: ANN401 - a Trainee
    """Turn on the gradients of the parameters that a phase trains, and off all others.

    Args:
        model: changed in place.
        names: from `choose_trainable`.
        head_only: train none of the tower's parameters.
    """
    tower = set(map(id, model.tower.parameters())) if head_only else set()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in names and id(weight) not in tower)


def unchanging_names(model: torch.nn.Module) -> Names:
    """The names of all that no step changes: frozen parameters, buffers of frozen modules.

    Returns:
        Names, as in its `state_dict`.
    """
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    asleep = set(frozen_modules(model))
    for path, module in model.named_modules():
        if module in asleep:
            frozen |= {f"{path}.{name}" for name, _ in module.named_buffers()}
    return frozenset(frozen)


def frozen_modules(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules all of whose parameters are frozen.

    They stay in eval mode: batch norms keep their statistics, and dropout is off.
    """
    return [
        module
        for module in model.modules()
        if {weight.requires_grad for weight in module.parameters()} == {False}
    ]
