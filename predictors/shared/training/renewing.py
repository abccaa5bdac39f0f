"""A tower built again for training: with stochastic depth, its highest blocks new."""

from __future__ import annotations

from typing import Any

from ensembler.errors import InputError
from ensembler.training.recipe import Recipe
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training.layers import layers_of
from predictors.shared.vision import build_vision


def renew_tower(model: Any, recipe: Recipe) -> None:  # noqa: ANN401 - a Trainee
    """Exchange a model's tower for one as timm builds it anew, with the old one's weights.

    Args:
        model: changed in place.
        recipe: whose drop_path and reinitialise count; the highest blocks keep their new weights.

    Raises:
        InputError: its tower is not of timm.
        PredictorError: the architecture knows no stochastic depth.
    """
    if not (recipe.drop_path or recipe.reinitialise):
        return
    if not isinstance(model.config, TowerConfig):
        raise InputError(
            "drop_path and reinitialise are for timm's towers, which this predictor's is not: take"
            " them out"
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
    """Whose parameter or buffer it is."""
    return name.rpartition(".")[0]
