"""The adapter `coca`: a CoCa captioner of open_clip whose texts are embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.coca.config import CocaConfig
from predictors.shared.text import ENCODER, load_text_head

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.coca.captioning import CocaCaptioner


class Coca:
    """A CoCa captioner of open_clip: beam search or top-k sampling."""

    Config: ClassVar[type[Frozen]] = CocaConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "weights": Role("open_clip's checkpoint of a CoCa model (.safetensors, .pt or .bin)"),
        "architecture": Role(
            "open_clip_config.json, or one of open_clip's model configs, where `model` is not set",
            required=False,
        ),
        "encoder": ENCODER,
    }
    needs: ClassVar[tuple[str, ...]] = ("open_clip", "sentence_transformers", "torch")
    install: ClassVar[str] = "oof-ensembler[coca]"

    @classmethod
    def load(cls, config: CocaConfig, files: Mapping[str, Path], *, device: str) -> CocaCaptioner:
        """Load the captioner.

        Args:
            config: this adapter's config.
            files: `weights`; `architecture` where the config names no model, and `encoder` unless
                it is the packaged one.
            device: a torch device name; texts are encoded on the CPU.

        Raises:
            PredictorError: a file is not what its role says, or the architecture is not given or
                not that of the weights.
        """
        from predictors.coca.captioning import CocaCaptioner
        from predictors.coca.model import load_coca

        loaded = load_coca(config.model, files.get("architecture"), files["weights"])
        head = load_text_head(files.get("encoder"), prefix=config.prefix, suffix=config.suffix)
        return CocaCaptioner(loaded, config, head=head, device=device)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train the captioner; see `Trainable.train`."""
        from predictors.coca.train import train

        return train(job)
