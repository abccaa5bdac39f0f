"""A frozen module attached to a model: moved with it, but neither trained nor saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch


class Attached(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A wrapper that keeps a module's weights out of the parameters and the `state_dict`.

    The module stays in eval mode, whatever the mode of the model that it is attached to.

    Attributes:
        module: the wrapped module.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        """Wrap a module and switch off its gradients."""
        super().__init__()
        # In a tuple, where torch does not look for modules.
        self._hidden = (module.eval().requires_grad_(requires_grad=False),)

    @property
    def module(self) -> torch.nn.Module:
        """The wrapped module."""
        return self._hidden[0]

    def forward(self, *inputs: torch.Tensor) -> Any:  # noqa: ANN401 - whatever the module gives
        """The output of the wrapped module."""
        return self.module(*inputs)

    def _apply(self, change: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Move the wrapped module with the model."""
        self.module._apply(change, recurse)  # noqa: SLF001 - to() and its like call this
        return super()._apply(change, recurse)  # type: ignore[no-any-return]  # torch is untyped
