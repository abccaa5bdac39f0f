"""A BLIP captioner, as data."""

from __future__ import annotations

from pydantic import Field

from predictors.shared.wording import Wording


class BlipConfig(Wording):
    """How captions are searched for; `prompt` is how each begins, and is not part of its text."""

    prompt: str = Field(default="", description="how each caption begins; not part of its text")
