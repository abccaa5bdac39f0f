"""Low-rank updates of linear layers (Hu et al. 2021), by peft."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from ensembler.errors import InputError
from ensembler.training.recipe import Lora
from predictors.shared.training.layers import Names
from predictors.shared.weights import StateDict

UPDATE: Final = ".lora_"  # in the names of added parameters
BASE: Final = ".base_layer."  # in the names of the layers that they are added to


def add_updates(
    model: Any,  # noqa: ANN401 - a Trainee
    adapted: Names,
    lora: Lora,
    glance: Callable[[], object],
) -> None:
    """Add an update, zero at first, to each linear layer of the adapted blocks.

    Layers that are never called, as the joined query, key and value of timm's EVA, whose weights
    are read directly, get none: it would not be trained, and yet be merged.

    Args:
        model: a `Trainee`, whose `tower` is changed in place.
        adapted: names of the blocks' parameters.
        lora: rank and scale.
        glance: sends an image through the model.

    Raises:
        InputError: the blocks have no linear layers.
    """
    from peft import LoraConfig, inject_adapter_in_model

    weights = {id(weight) for name, weight in model.named_parameters() if name in adapted}
    linear = {
        name: layer
        for name, layer in model.tower.named_modules()
        if type(layer) is torch.nn.Linear and id(layer.weight) in weights
    }
    called = _called(linear, glance)
    if not called:
        raise InputError(
            "lora updates linear layers, and the blocks that it would adapt have none: remove it"
        )
    pattern = "|".join(map(re.escape, called))
    settings = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=f"(?:{pattern})")
    inject_adapter_in_model(settings, model.tower)


def merge_updates(model: torch.nn.Module) -> StateDict:
    """The state of a model with its updates merged, each into its weight, under plain names."""
    state: StateDict = model.state_dict()
    with torch.no_grad():
        for name, layer in model.named_modules():
            if hasattr(layer, "get_delta_weight"):
                (only,) = layer.active_adapters
                weight = f"{name}{BASE}weight"
                state[weight] = state[weight] + layer.get_delta_weight(only)
    return {plain(name): tensor for name, tensor in state.items() if UPDATE not in name}


def plain(name: str) -> str:
    """The name of a parameter before updates were added."""
    return name.replace(BASE, ".")


def _called(modules: Mapping[str, torch.nn.Module], glance: Callable[[], object]) -> list[str]:
    """The names of the modules that are called when an image passes through the model."""
    called: set[torch.nn.Module] = set()
    hooks = [
        module.register_forward_hook(lambda module, *_: called.add(module))
        for module in modules.values()
    ]
    with torch.no_grad():
        glance()
    for hook in hooks:
        hook.remove()
    return [name for name, module in modules.items() if module in called]
