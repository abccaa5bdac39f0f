"""The adapter `captioner`: any image-to-text model, asked a question or not; texts are embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ensembler.predicting.contract import Role
from ensembler.store.model import Frozen
from predictors.shared.text import ENCODER, load_text_head
from predictors.shared.wording import INSTALL, NEEDS, Wording

if TYPE_CHECKING:
    from predictors.shared.generating import ImageToText


class CaptionerConfig(Wording):
    """How texts are searched for, and what is asked, as in "What does the image describe?".

    A question is given as the model was trained to be asked: BLIP-2 wants "Question: … Answer:",
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
            config: of this adapter.
            files: `model`, and `encoder` where it is not the packaged one.
            device: as torch names it; texts are encoded on the CPU.

        Raises:
            PredictorError: transformers has no image-to-text class for the folder, or its weights
                are not all of the model.
        """
        import torch

        from predictors.shared.generating import ImageToText, load_speaker

        head = load_text_head(files.get("encoder"), prefix=config.prefix, suffix=config.suffix)
        speaker = load_speaker(files["model"], device=device, dtype=getattr(torch, config.dtype))
        return ImageToText(speaker, config, config.question, head=head)
