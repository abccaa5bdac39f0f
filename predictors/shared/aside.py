"""A module that stands beside a model: moved with it, and neither trained nor saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch


class Aside(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A frozen module whose weights are nobody's parameters and in no `state_dict`.

    It is in eval mode, whatever the mode of the model that it stands beside.

    Attributes:
        module: it.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        """Put it aside; its gradients are switched off."""
        super().__init__()
        # In a tuple, where torch does not look for modules.
        self._held = (module.eval().requires_grad_(requires_grad=False),)

    @property
    def module(self) -> torch.nn.Module:
        """It."""
        return self._held[0]

    def forward(self, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 - whatever the module gives
        """What the module makes of its inputs."""
        return self.module(*inputs)

    def _apply(self, change: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Move it wherever the model is moved."""
        self.module._apply(change, recurse)  # noqa: SLF001 - what to() and its like come down to
        return super()._apply(change, recurse)  # type: ignore[no-any-return]  # torch is untyped
