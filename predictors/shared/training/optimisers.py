"""Optimisers of a recipe, and which parameters they let decay."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import MADGRAD, param_groups_weight_decay

from ensembler.training.recipe import Optimiser


def make_optimiser(model: torch.nn.Module, recipe: Optimiser) -> torch.optim.Optimizer:
    """An optimiser over what of a model is not frozen.

    Biases, norms and whatever else has one dimension do not decay, nor what a tower names itself:
    position embeddings and class tokens.

    Args:
        model: with a timm model as `tower`.
        recipe: its name and settings; the learning rate is set at every step.
    """
    keep: set[str] = getattr(model.tower, "no_weight_decay", set)()
    groups = param_groups_weight_decay(
        model, recipe.weight_decay, no_weight_decay_list=[f"tower.{name}" for name in keep]
    )
    groups = [group for group in groups if group["params"]]
    settings: dict[str, Any] = {"lr": recipe.lr}
    if recipe.name == "madgrad":
        return MADGRAD(groups, momentum=recipe.momentum, decoupled_decay=True, **settings)
    return torch.optim.AdamW(groups, betas=(recipe.momentum, 0.999), **settings)
