"""The adapter `blip`: a BLIP captioner whose texts are embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.blip.config import BlipConfig
from predictors.shared.text import ENCODER, load_text_head
from predictors.shared.wording import INSTALL, NEEDS

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.shared.generating import ImageToText


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
            config: this adapter's config.
            files: `model`, and `encoder` unless it is the packaged one.
            device: a torch device name; texts are encoded on the CPU.

        Raises:
            PredictorError: the folder holds another model, or its weights are incomplete.
        """
        from predictors.blip.loading import load_blip
        from predictors.shared.generating import ImageToText

        speaker = load_blip(files["model"], device=device)
        head = load_text_head(files.get("encoder"), prefix=config.prefix, suffix=config.suffix)
        return ImageToText(speaker, config, config.prompt, head=head)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train the captioner; see `Trainable.train`."""
        from predictors.blip.train import train

        return train(job)
