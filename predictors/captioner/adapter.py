"""The adapter `captioner`: any image-to-text model of transformers, whose texts are embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.shared.text import ENCODER, load_text_head
from predictors.shared.wording import INSTALL, NEEDS, Wording

if TYPE_CHECKING:
    from predictors.shared.generating import ImageToText


class CaptionerConfig(Wording):
    """The search for texts and the question, such as "What does the image describe?".

    The question has the form that the model was trained on: BLIP-2 needs "Question: … Answer:",
    Florence-2 a task such as "<CAPTION>".
    """

    question: str = Field(default="", description="as the model was trained to be asked")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32",
        description="of the weights: half of float32 lets a model of billions fit a GPU",
    )


class AnyCaptioner:
    """An image-to-text model of transformers, from a local folder."""

    Config: ClassVar[type[Frozen]] = CaptionerConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "model": Role("a transformers folder of an image-to-text model, with its processor"),
        "encoder": ENCODER,
    }
    needs: ClassVar[tuple[str, ...]] = NEEDS
    install: ClassVar[str] = INSTALL

    @classmethod
    def load(
        cls, config: CaptionerConfig, files: Mapping[str, Path], *, device: str
    ) -> ImageToText:
        """Load the model.

        Args:
            config: this adapter's config.
            files: `model`, and `encoder` unless it is the packaged one.
            device: a torch device name; texts are encoded on the CPU.

        Raises:
            PredictorError: transformers has no image-to-text class for the folder, or its weights
                are incomplete.
        """
        import torch

        from predictors.shared.generating import ImageToText, load_speaker

        head = load_text_head(files.get("encoder"), prefix=config.prefix, suffix=config.suffix)
        speaker = load_speaker(files["model"], device=device, dtype=getattr(torch, config.dtype))
        return ImageToText(speaker, config, config.question, head=head)
