"""A CoCa captioner, as data: which model, and how its texts are found."""

from __future__ import annotations

from pydantic import Field

from ensembler.store.model import Frozen
from predictors.shared.wording import Wording


class Sampling(Frozen):
    """How texts are drawn; the same image is given the same texts, whatever its batch."""

    top_k: int = Field(ge=1, description="every token is one of as many likeliest")
    temperature: float = Field(
        default=1.0, gt=0.0, description="the higher, the likelier are unlikely tokens"
    )
    seed: int = Field(default=0, ge=0, description="of the draw")


class CocaConfig(Wording):
    """The model and how its texts are found.

    With `sampling`, as many texts as `beams` are drawn instead of searched for; of either, the
    likeliest `hypotheses` are embedded.
    """

    model: str | None = Field(
        default=None, description="as open_clip names it; unset where a file says the architecture"
    )
    sampling: Sampling | None = Field(
        default=None, description="texts are drawn, as many as beams, instead of searched for"
    )
