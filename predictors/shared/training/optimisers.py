"""Optimisers of a recipe, with weight decay on the parameters that should decay."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import MADGRAD, param_groups_weight_decay

from ensembler.training.recipe import Optimiser


def make_optimiser(model: torch.nn.Module, recipe: Optimiser) -> torch.optim.Optimizer:
    """Make the optimiser of a model's trainable parameters.

    Parameters of one dimension, as biases and norms, do not decay, nor those that model and tower
    list in `no_weight_decay`: position embeddings and class tokens.

    Args:
        model: a `Trainee`.
        recipe: name and settings; the learning rate is set at every step.

    Returns:
        The optimiser; with sam_rho, pytorch-optimizer's SAM around it.
    """
    keep: set[str] = getattr(model, "no_weight_decay", set)()
    keep |= {f"tower.{name}" for name in getattr(model.tower, "no_weight_decay", set)()}
    groups = param_groups_weight_decay(model, recipe.weight_decay, no_weight_decay_list=keep)
    groups = [group for group in groups if group["params"]]
    settings: dict[str, Any] = {"lr": recipe.lr}
    if recipe.name == "madgrad":
        base, settings = MADGRAD, settings | {"momentum": recipe.momentum, "decoupled_decay": True}
    else:
        base, settings = torch.optim.AdamW, settings | {"betas": (recipe.momentum, 0.999)}
    if recipe.sam_rho is None:
        return base(groups, **settings)
    from pytorch_optimizer import SAM

    return SAM(groups, base, rho=recipe.sam_rho, **settings)
