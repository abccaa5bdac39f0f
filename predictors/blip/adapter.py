"""The adapter `blip`: a BLIP captioner, whose texts are embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ensembler.errors import PredictorError
from ensembler.predicting.contract import Role
from ensembler.store.model import Frozen
from predictors.shared.text import ENCODER, load_text_head
from predictors.shared.wording import INSTALL, NEEDS, Wording

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.shared.generating import ImageToText, Speaker


class BlipConfig(Wording):
    """How captions are searched for; `prompt` is how each begins, and is not part of its text."""

    prompt: str = Field(default="", description="how each caption begins; not part of its text")


class Blip:
    """A BLIP captioner of transformers, from a local folder."""

    Config: ClassVar[type[Frozen]] = BlipConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "model": Role("a transformers folder of a BLIP captioner, with its processor"),
        "encoder": ENCODER,
    }
    needs: ClassVar[tuple[str, ...]] = NEEDS
    install: ClassVar[str] = INSTALL

    @classmethod
    def load(cls, config: BlipConfig, files: Mapping[str, Path], *, device: str) -> ImageToText:
        """Load the captioner.

        Args:
            config: of this adapter.
            files: `model`, and `encoder` where it is not the packaged one.
            device: as torch names it; texts are encoded on the CPU.

        Raises:
            PredictorError: the folder holds another model, or its weights are not all of it.
        """
        from predictors.shared.generating import ImageToText

        speaker = load_blip(files["model"], device=device)
        head = load_text_head(files.get("encoder"), prefix=config.prefix, suffix=config.suffix)
        return ImageToText(speaker, config, config.prompt, head=head)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train the captioner; see `Trainable.train`."""
        from predictors.blip.train import train

        return train(job)


def load_blip(folder: Path, *, device: str) -> Speaker:
    """Load a folder, ready to predict.

    Args:
        folder: of a BLIP captioner.
        device: as torch names it.

    Raises:
        PredictorError: the folder holds another model, or its weights are not all of it.
    """
    from predictors.shared.generating import load_speaker
    from predictors.shared.hf import model_type

    kind = model_type(folder)
    if kind != "blip":
        raise PredictorError(
            f"{folder} holds a model of type {kind!r}, not a BLIP captioner; the adapter"
            " 'captioner' takes any image-to-text model"
        )
    return load_speaker(folder, device=device)
