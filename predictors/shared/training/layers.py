"""Layers of a tower, lowest first, and which of them a recipe freezes, adapts or trains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import torch
from timm.models import group_parameters

from ensembler.errors import InputError
from ensembler.training.recipe import Recipe

WITH_THE_BLOCK_BEFORE: Final = (99999,)  # timm's mark of layers without a number

Names = frozenset[str]


class Layers(NamedTuple):
    """Names of a tower's parameters in the whole model, by layer.

    Attributes:
        stem: those before the blocks, such as the embeddings of patches and positions.
        blocks: those of each block, lowest first. All others stand above the blocks.
    """

    stem: Names
    blocks: tuple[Names, ...]


class Shares(NamedTuple):
    """Names of the parameters that are not trained after the warm-up.

    Attributes:
        frozen: those left as they are.
        adapted: those whose linear layers get low-rank updates.
    """

    frozen: Names
    adapted: Names


def share_out_layers(model: Any, recipe: Recipe) -> Shares:  # noqa: ANN401 - a Trainee
    """Divide a tower's blocks, lowest first, into frozen, adapted and trained ones.

    Shares are rounded to whole blocks. The stem is frozen unless the lowest block is trained;
    layers above the blocks are trained. freeze = 1 freezes the whole tower: its phases train the
    head alone, and both results are empty.

    Args:
        model: a `Trainee` without low-rank updates.
        recipe: its freeze, lora and reinitialise count.

    Raises:
        InputError: the tower has no blocks, or fewer are trained than are reinitialised.
    """
    if recipe.freeze == 1.0 or not (recipe.freeze or recipe.lora or recipe.reinitialise):
        return Shares(frozenset(), frozenset())
    layers = layers_of(model)
    count = len(layers.blocks)
    low = _nearest(recipe.freeze * count)
    high = low if recipe.lora is None else _nearest((recipe.freeze + recipe.lora.share) * count)
    if recipe.reinitialise > count - high:
        raise InputError(
            f"reinitialise = {recipe.reinitialise}, but of the tower's {count} blocks only the"
            f" highest {count - high} are trained; set reinitialise = {count - high} at most"
        )
    stem = layers.stem if high else frozenset()
    return Shares(stem.union(*layers.blocks[:low]), frozenset().union(*layers.blocks[low:high]))


def layers_of(model: Any) -> Layers:  # noqa: ANN401 - a Trainee
    """The layers of a model: those it lists, else the groups that timm makes of its tower.

    Args:
        model: with `stem` and `blocks`, sequences of modules, or with a timm model as `tower`.

    Raises:
        InputError: it has neither.
    """
    if hasattr(model, "blocks"):
        return Layers(
            _names_of(model, model.stem), tuple(_names_of(model, [block]) for block in model.blocks)
        )
    if not hasattr(model.tower, "group_matcher"):
        raise InputError(
            "freeze, lora and reinitialise count a tower's blocks, and this predictor's tower has"
            " none: remove them"
        )
    return _grouped(model.tower)


def _grouped(tower: Any) -> Layers:  # noqa: ANN401 - of timm
    """The groups to which timm gives learning rates; but the last norm is not in a block.

    timm's matcher has a pattern for the stem, and one or several, with numbers, for the blocks.
    """
    matcher = tower.group_matcher(coarse=False)
    patterns = matcher["blocks"]
    if isinstance(patterns, str):
        patterns = [(patterns, None)]
    patterns = [(pattern, order) for pattern, order in patterns if order != WITH_THE_BLOCK_BEFORE]
    groups = group_parameters(tower, {"blocks": patterns}).values()  # and one group of all others
    names = (name for name, _ in tower.named_parameters())
    return Layers(
        _below_tower(name for name in names if re.match(matcher["stem"], name)),
        tuple(
            _below_tower(group)
            for group in groups
            if any(re.match(pattern, group[0]) for pattern, _ in patterns)
        ),
    )


def _below_tower(names: Iterable[str]) -> Names:
    return frozenset(f"tower.{name}" for name in names)


def _names_of(model: torch.nn.Module, modules: Iterable[torch.nn.Module]) -> Names:
    """The names of the parameters of some modules of a model."""
    wanted = {id(weight) for module in modules for weight in module.parameters()}
    return frozenset(name for name, weight in model.named_parameters() if id(weight) in wanted)


def _nearest(blocks: float) -> int:
    return int(blocks + 0.5)
