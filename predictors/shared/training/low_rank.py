"""Low-rank updates of linear layers (Hu et al. 2021), by peft."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from ensembler.errors import InputError
from ensembler.training.recipe import Lora
from predictors.shared.training.layers import Names
from predictors.shared.training.state import Tensors

UPDATE: Final = ".lora_"  # in the names of what is added
BASE: Final = ".base_layer."  # in the names of what it is added to


def add_updates(
    model: Any,  # noqa: ANN401 - a Trainee
    adapted: Names,
    lora: Lora,
    glance: Callable[[], object],
) -> None:
    """Add an update, which is zero at first, to each linear layer of some of a tower's blocks.

    Layers whose weights are read past them, as the joined query, key and value of timm's EVA, get
    none: it would be learned by nobody and change what is merged.

    Args:
        model: whose `tower` is changed in place.
        adapted: the blocks' parameters.
        lora: rank and scale.
        glance: sends an image through the model.

    Raises:
        InputError: there are no linear layers.
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
            "lora updates linear layers, and the blocks that it falls to have none: take it out"
        )
    pattern = "|".join(map(re.escape, called))
    settings = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=f"(?:{pattern})")
    inject_adapter_in_model(settings, model.tower)


def merged(model: torch.nn.Module) -> Tensors:
    """A model's state as if it had never had updates: each is added to the weight it is of."""
    state: Tensors = model.state_dict()
    with torch.no_grad():
        for name, layer in model.named_modules():
            if hasattr(layer, "get_delta_weight"):
                (only,) = layer.active_adapters
                weight = f"{name}{BASE}weight"
                state[weight] = state[weight] + layer.get_delta_weight(only)
    return {plain(name): one for name, one in state.items() if UPDATE not in name}


def plain(name: str) -> str:
    """What a parameter was called before updates were added."""
    return name.replace(BASE, ".")


def _called(modules: Mapping[str, torch.nn.Module], glance: Callable[[], object]) -> list[str]:
    """The names of those that an image passes through as modules."""
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
