"""The config of a captioner's search for texts; no model library is imported here."""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field, model_validator

from ensembler.frozen import Frozen

NEEDS: Final = ("sentence_transformers", "torch", "transformers")  # of transformers' captioners
INSTALL: Final = "oof-ensembler[captioners]"


class Wording(Frozen):
    """The search for texts, their prefix and suffix, and their averaging."""

    beams: int = Field(default=3, ge=1, description="searched at once")
    hypotheses: int = Field(
        default=1, ge=1, description="the best beams, whose embeddings are averaged"
    )
    min_tokens: int = Field(default=1, ge=1, description="of a caption; its prompt does not count")
    max_tokens: int = Field(default=30, ge=1, description="of a caption; its prompt does not count")
    prefix: str = Field(
        default="", description="before every caption that is encoded, as it stands"
    )
    suffix: str = Field(default="", description="behind every caption that is encoded")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.hypotheses > self.beams:
            raise ValueError(
                f"hypotheses = {self.hypotheses}, but only beams = {self.beams} are searched"
            )
        if self.min_tokens > self.max_tokens:
            raise ValueError(
                f"min_tokens = {self.min_tokens} is more than max_tokens = {self.max_tokens}"
            )
        return self
