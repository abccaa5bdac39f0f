"""The config of a Q-Former's pooling and head."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.shared.heads import HEAD, UNIT, HeadConfig


class Blip2QFormerConfig(Frozen):
    """The pooling of the Q-Former's query vectors, and the head on it."""

    pooling: Literal["mean", "first"] = Field(
        default="mean",
        description="mean: of all query vectors; first: that of the first query, as a class token",
    )
    head: HeadConfig = Field(default=HeadConfig(kind="linear", dim=384), description=HEAD)
    normalise_output: bool = Field(default=False, description=UNIT)
