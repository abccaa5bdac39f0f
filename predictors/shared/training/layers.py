"""A tower's layers from the pixels up, and how a recipe shares them out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import torch
from timm.models import group_parameters

from ensembler.errors import InputError
from ensembler.training.recipe import Recipe

WITH_THE_BLOCK_BEFORE: Final = (99999,)  # timm's mark of what has no number

Names = frozenset[str]


class Layers(NamedTuple):
    """Parameters by their names in the whole model.

    Attributes:
        stem: of what comes before the blocks, as the embeddings of patches and positions.
        blocks: of each block, the lowest first. What of a tower is in neither stands above them.
    """

    stem: Names
    blocks: tuple[Names, ...]


class Shares(NamedTuple):
    """Which of a model's parameters stay as they are when more than its head is trained.

    Attributes:
        frozen: with nothing added.
        adapted: with low-rank updates of their linear layers.
    """

    frozen: Names
    adapted: Names


def shares(model: Any, recipe: Recipe) -> Shares:  # noqa: ANN401 - a Trainee
    """Share out a tower's blocks from below: the frozen, those with low-rank updates, the trained.

    Shares end at the nearest block. The stem is frozen unless the lowest block is trained; what
    stands above the blocks is trained. freeze = 1 freezes all of a tower: its phases train the
    head alone, and nothing is counted here.

    Args:
        model: as it was built, nothing added to it yet.
        recipe: whose freeze, lora and reinitialise count.

    Raises:
        InputError: the tower has no blocks, or fewer are trained than are to begin anew.
    """
    if recipe.freeze == 1.0 or not (recipe.freeze or recipe.lora or recipe.reinitialise):
        return Shares(frozenset(), frozenset())
    layers = layers_of(model)
    count = len(layers.blocks)
    low = _nearest(recipe.freeze * count)
    high = low if recipe.lora is None else _nearest((recipe.freeze + recipe.lora.share) * count)
    if recipe.reinitialise > count - high:
        raise InputError(
            f"reinitialise = {recipe.reinitialise} blocks are to begin anew, and of the tower's"
            f" {count} only the highest {count - high} are trained"
        )
    stem = layers.stem if high else frozenset()
    return Shares(stem.union(*layers.blocks[:low]), frozenset().union(*layers.blocks[low:high]))


def layers_of(model: Any) -> Layers:  # noqa: ANN401 - a Trainee
    """A model's layers: those it tells, else those that timm groups its tower's parameters into.

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
            "freeze, lora and reinitialise count a tower's blocks, and this predictor's has none:"
            " take them out"
        )
    return _grouped(model.tower)


def _grouped(tower: Any) -> Layers:  # noqa: ANN401 - of timm
    """The groups that timm gives rates of their own, but that a last norm stands above its block.

    Its matcher has a pattern of the stem, and one or several of blocks, whose numbers it orders by.
    """
    matcher = tower.group_matcher(coarse=False)
    patterns = matcher["blocks"]
    if isinstance(patterns, str):
        patterns = [(patterns, None)]
    patterns = [(one, order) for one, order in patterns if order != WITH_THE_BLOCK_BEFORE]
    groups = group_parameters(tower, {"blocks": patterns}).values()  # and one of all the others
    names = (name for name, _ in tower.named_parameters())
    return Layers(
        _below_tower(name for name in names if re.match(matcher["stem"], name)),
        tuple(
            _below_tower(group)
            for group in groups
            if any(re.match(one, group[0]) for one, _ in patterns)
        ),
    )


def _below_tower(names: Iterable[str]) -> Names:
    return frozenset(f"tower.{name}" for name in names)


def _names_of(model: torch.nn.Module, modules: Iterable[torch.nn.Module]) -> Names:
    """The parameters of some of a model's modules."""
    wanted = {id(weight) for module in modules for weight in module.parameters()}
    return frozenset(name for name, weight in model.named_parameters() if id(weight) in wanted)


def _nearest(blocks: float) -> int:
    return int(blocks + 0.5)
