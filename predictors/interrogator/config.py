"""An interrogator, as data: who captions, which CLIP ranks, and how many phrases follow."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from ensembler.errors import PredictorError
from ensembler.faults import faults_of
from ensembler.predicting.registry import find_adapter
from ensembler.store.model import Frozen


class ClipConfig(Frozen):
    """A CLIP of open_clip."""

    model: str = "ViT-H-14"  # as open_clip names the architecture
    # Of the published weights, or those that yours were trained from: it decides colours and
    # activation. None where open_clip records none of the architecture.
    tag: str | None = "laion2b_s32b_b79k"


class CaptionerConfig(Frozen):
    """The predictor that captions: a registered adapter and its config."""

    adapter: str
    config: dict[str, Any] = Field(default_factory=dict, validate_default=True)

    @field_validator("config")
    @classmethod
    def _whole(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """With the adapter's defaults, so that a spec keeps what they were."""
        name = info.data.get("adapter")
        if name is None:  # a fault of its own
            return config
        try:
            adapter = find_adapter(name)
            return adapter.Config.model_validate(config, strict=False).model_dump(mode="json")
        except ValidationError as error:
            raise ValueError(faults_of(error, adapter.Config)) from error
        except PredictorError as error:
            raise ValueError(str(error)) from error


class InterrogatorConfig(Frozen):
    """Who captions, and how many phrases of which list follow."""

    captioner: CaptionerConfig
    clip: ClipConfig = ClipConfig()
    # A vocabulary file's name without .txt → how many of its phrases, those of the best cosine.
    phrases: dict[str, Annotated[int, Field(ge=1)]] = Field(min_length=1)
