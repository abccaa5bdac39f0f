"""A training under watch: what each step is given, moves and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_pre_hook

from predictors.shared.training import losses, tasks
from predictors.shared.training.learner import Learner
from predictors.shared.training.low_rank import merge_updates

Weights = dict[str, torch.Tensor]
Vectors = NDArray[np.float32]


class LossCall(NamedTuple):
    """A loss that was asked for.

    Attributes:
        vectors: (n, 384).
        targets: (n, 384).
        value: it.
        weights: what of the model learned then.
    """

    vectors: Vectors
    targets: Vectors
    value: float
    weights: Weights


class Group(NamedTuple):
    """What an optimiser is told of some parameters."""

    names: frozenset[str]
    settings: dict[str, Any]


@dataclass(slots=True)
class Seen:
    """What was seen of a training.

    Attributes:
        weights: before the first step, and after each; low-rank updates are added to theirs.
        images: (batch, height, width, 3) of each step.
        optimisers: that moved the weights, a list of groups for each step.
        losses: every time that one was computed.
    """

    weights: list[Weights] = field(default_factory=list)
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    optimisers: list[tuple[str, list[Group]]] = field(default_factory=list)
    losses: list[LossCall] = field(default_factory=list)

    def moved(self, first: int, last: int) -> set[str]:
        """The parameters and buffers that changed from after one step to after another."""
        before, after = self.weights[first], self.weights[last]
        return {name for name in before if not torch.equal(before[name], after[name])}


def watch(patch: pytest.MonkeyPatch) -> Seen:
    """See every step from here on."""
    seen = Seen()
    models: list[torch.nn.Module] = []  # the one that takes a step
    learn, loss_of = Learner.learn, losses.loss_of

    def learned(learner: Learner, step: int, loaded: Any, aim: Any) -> float:  # noqa: ANN401 - passed on
        models[:] = [learner.model]
        if not seen.weights:
            seen.weights.append(_copied(merge_updates(learner.model)))
        seen.images.append(np.array(loaded))
        handle = register_optimizer_step_pre_hook(stepped)
        loss = learn(learner, step, loaded, aim)
        handle.remove()
        models.clear()
        seen.weights.append(_copied(merge_updates(learner.model)))
        return loss

    def stepped(optimiser: torch.optim.Optimizer, *_: object) -> None:
        names = {id(weight): name for name, weight in models[0].named_parameters()}
        groups = [
            Group(frozenset(names[id(one)] for one in group["params"]), _settings(group))
            for group in optimiser.param_groups
        ]
        seen.optimisers.append((type(optimiser).__name__, groups))

    def computed(vectors: torch.Tensor, targets: torch.Tensor, *rest: Any) -> torch.Tensor:  # noqa: ANN401 - passed on
        value: torch.Tensor = loss_of(vectors, targets, *rest)
        if models:
            learning = {n: one for n, one in models[0].named_parameters() if one.requires_grad}
            arrays = vectors.detach().numpy().copy(), targets.numpy().copy()
            seen.losses.append(LossCall(*arrays, float(value.detach()), _copied(learning)))
        return value

    patch.setattr(Learner, "learn", learned)
    patch.setattr(tasks, "loss_of", computed)
    return seen


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _copied(state: Mapping[str, torch.Tensor]) -> Weights:
    return {name: one.detach().clone() for name, one in state.items()}
