"""The config of an interrogator: its captioner, its CLIP, and its numbers of phrases."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from ensembler.errors import PredictorError
from ensembler.faults import faults_of
from ensembler.frozen import Frozen
from ensembler.predicting.registry import find_adapter


class ClipConfig(Frozen):
    """A CLIP of open_clip."""

    model: str = Field(default="ViT-H-14", description="as open_clip names the architecture")
    # None where open_clip records no tag for the architecture.
    tag: str | None = Field(
        default="laion2b_s32b_b79k",
        description="of the published weights, or of those that yours were trained from; decides"
        " colours and activation",
    )


class CaptionerConfig(Frozen):
    """The predictor that captions: a registered adapter and its config."""

    adapter: str = Field(description="by the name that `ensembler predictors list` shows")
    config: dict[str, Any] = Field(
        default_factory=dict, validate_default=True, description="the adapter's own"
    )

    @field_validator("config")
    @classmethod
    def _whole(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Add the adapter's defaults, so that a spec records them."""
        name = info.data.get("adapter")
        if name is None:  # reported as a fault of its own
            return config
        try:
            adapter = find_adapter(name)
            return adapter.Config.model_validate(config, strict=False).model_dump(mode="json")
        except ValidationError as error:
            raise ValueError(faults_of(error, adapter.Config)) from error
        except PredictorError as error:
            raise ValueError(str(error)) from error


class InterrogatorConfig(Frozen):
    """The captioner, the CLIP that ranks phrases, and how many phrases of each list follow."""

    captioner: CaptionerConfig = Field(description="the predictor that captions")
    clip: ClipConfig = Field(default=ClipConfig(), description="the CLIP that ranks the phrases")
    phrases: dict[str, Annotated[int, Field(ge=1)]] = Field(
        min_length=1,
        description="a vocabulary file's name without .txt = how many of its phrases, those of the"
        " best cosine",
    )
