"""The config of a BLIP captioner."""

from __future__ import annotations

from pydantic import Field

from predictors.shared.wording import Wording


class BlipConfig(Wording):
    """The search for captions; each begins with `prompt`, which is not part of its text."""

    prompt: str = Field(default="", description="how each caption begins; not part of its text")
