"""The config of a CoCa captioner: its model, and the search for texts or their sampling."""

from __future__ import annotations

from pydantic import Field

from ensembler.frozen import Frozen
from predictors.shared.wording import Wording


class Sampling(Frozen):
    """Sampling of texts; an image gets the same texts whatever its batch."""

    top_k: int = Field(ge=1, description="each token is one of the top_k likeliest")
    temperature: float = Field(
        default=1.0, gt=0.0, description="the higher, the likelier are unlikely tokens"
    )
    seed: int = Field(default=0, ge=0, description="of the draw")


class CocaConfig(Wording):
    """The model and its search for texts.

    With `sampling`, as many texts as `beams` are drawn instead of searched for; either way, the
    likeliest `hypotheses` are embedded.
    """

    model: str | None = Field(
        default=None, description="as open_clip names it; unset where a file has the architecture"
    )
    sampling: Sampling | None = Field(
        default=None, description="texts are drawn, as many as beams, instead of searched for"
    )
