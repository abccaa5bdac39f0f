"""Modules that share weights, as a language model's output does with its input, saved once."""

from __future__ import annotations

from typing import Any

import torch

from predictors.shared.training.state import Tensors


class EachOnce(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A module whose `state_dict` has each parameter under the first of its names.

    So a file holds it once, and an average of weights moves it once.
    """

    def state_dict(self, *args: Any, **kwargs: Any) -> Tensors:  # noqa: ANN401 - torch's signature
        """Every parameter and buffer by its first name."""
        state: Tensors = super().state_dict(*args, **kwargs)
        for twin in self._twins():
            del state[kwargs.get("prefix", "") + twin]
        return state

    def load_state_dict(self, state: Tensors, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - torch's
        """Take what `state_dict` gave."""
        twins = {twin: state[name] for twin, name in self._twins().items() if name in state}
        return super().load_state_dict({**state, **twins}, *args, **kwargs)

    def _twins(self) -> dict[str, str]:
        """Further name → first name, of each parameter that has several."""
        first: dict[int, str] = {}
        found = {}
        for name, weight in self.named_parameters(remove_duplicate=False):
            if first.setdefault(id(weight), name) != name:
                found[name] = first[id(weight)]
        return found
