"""Pooling and head of a Q-Former, as data."""

from __future__ import annotations

from typing import Literal

from ensembler.store.model import Frozen
from predictors.shared.heads import HeadConfig


class Blip2QFormerConfig(Frozen):
    """How the Q-Former's query vectors become one, and the head on it."""

    # mean: of all query vectors. first: that of the first query, as a class token.
    pooling: Literal["mean", "first"] = "mean"
    head: HeadConfig = HeadConfig(kind="linear", dim=384)
    normalise_output: bool = False  # vectors of unit length
