"""Modules that share weights, as a language model's output and input do: each is saved once."""

from __future__ import annotations

from typing import Any

import torch

from predictors.shared.weights import StateDict


class TiedModule(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A module whose `state_dict` has each parameter under the first of its names.

    A file then holds it once, and an average of weights updates it once.
    """

    def state_dict(self, *args: Any, **kwargs: Any) -> StateDict:  # noqa: ANN401 - torch's signature
        """Every parameter and buffer by its first name."""
        state: StateDict = super().state_dict(*args, **kwargs)
        for further in self._first_names():
            del state[kwargs.get("prefix", "") + further]
        return state

    def load_state_dict(self, state: StateDict, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - torch's
        """Load what `state_dict` gave."""
        tied = {
            further: state[first]
            for further, first in self._first_names().items()
            if first in state
        }
        return super().load_state_dict({**state, **tied}, *args, **kwargs)

    def _first_names(self) -> dict[str, str]:
        """Further name → first name, of each parameter that has several."""
        first: dict[int, str] = {}
        further = {}
        for name, weight in self.named_parameters(remove_duplicate=False):
            if first.setdefault(id(weight), name) != name:
                further[name] = first[id(weight)]
        return further
