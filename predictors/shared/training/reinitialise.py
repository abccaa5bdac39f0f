"""Rebuilding a tower for training: stochastic depth, and new weights in its highest blocks."""

from __future__ import annotations

from typing import Any

from ensembler.errors import InputError
from ensembler.training.recipe import Recipe
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.layers import layers_of
from predictors.shared.vision import build_vision


def rebuild_tower(model: Any, recipe: Recipe) -> None:  # noqa: ANN401 - a Trainee
    """Replace a model's tower by one that timm builds anew, and load the old weights into it.

    Args:
        model: changed in place.
        recipe: whose drop_path and reinitialise count; reinitialised blocks keep new weights.

    Raises:
        InputError: the tower is not one of timm's.
        PredictorError: the architecture has no stochastic depth.
    """
    if not (recipe.drop_path or recipe.reinitialise):
        return
    if not isinstance(model.config, TowerConfig):
        raise InputError(
            "drop_path and reinitialise need a tower of timm, which this predictor does not have:"
            " remove them"
        )
    old, learns = model.state_dict(), {n: one.requires_grad for n, one in model.named_parameters()}
    blocks = layers_of(model).blocks[-recipe.reinitialise :] if recipe.reinitialise else ()
    new = {_layer(name) for block in blocks for name in block}
    model.tower = build_vision(model.config, drop_path=recipe.drop_path)
    state = model.state_dict()
    model.load_state_dict({name: state[name] if _layer(name) in new else old[name] for name in old})
    for name, weight in model.named_parameters():
        weight.requires_grad_(learns[name])


def _layer(name: str) -> str:
    """The name of the layer that a parameter or buffer belongs to."""
    return name.rpartition(".")[0]
