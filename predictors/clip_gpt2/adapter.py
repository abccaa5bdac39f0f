"""The adapter `clip_gpt2`: a captioner of frozen CLIP, mapper and GPT-2; texts are embedded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role
from predictors.clip_gpt2.config import ClipGpt2Config
from predictors.shared.text import ENCODER, load_text_head
from predictors.shared.wording import NEEDS

if TYPE_CHECKING:
    from ensembler.training.contract import FoldJob, Trained
    from predictors.clip_gpt2.captioning import PrefixCaptioner


class ClipGpt2:
    """A prefix captioner: frozen CLIP, transformer mapper, GPT-2."""

    Config: ClassVar[type[Frozen]] = ClipGpt2Config
    roles: ClassVar[Mapping[str, Role]] = {
        "tower": Role("the CLIP tower's weights: a checkpoint of open_clip or timm"),
        "mapper": Role("the trained mapper's weights (.safetensors or .pt)"),
        "language": Role("a transformers folder of GPT-2, with its tokenizer"),
        "encoder": ENCODER,
    }
    needs: ClassVar[tuple[str, ...]] = (*NEEDS, "safetensors", "timm")
    install: ClassVar[str] = "oof-ensembler[captioners,towers]"

    @classmethod
    def load(
        cls, config: ClipGpt2Config, files: Mapping[str, Path], *, device: str
    ) -> PrefixCaptioner:
        """Load the captioner.

        Args:
            config: this adapter's config.
            files: `tower`, `mapper`, `language`, and `encoder` unless it is the packaged one.
            device: a torch device name; texts are encoded on the CPU.

        Raises:
            PredictorError: a file is not what its role says, its weights are incomplete, or the
                parts do not fit each other.
        """
        from predictors.clip_gpt2.captioning import PrefixCaptioner, load_parts

        parts = load_parts(config, files, device=device)
        head = load_text_head(files.get("encoder"), prefix=config.prefix, suffix=config.suffix)
        return PrefixCaptioner(config, parts, head=head, device=device)

    @classmethod
    def train(cls, job: FoldJob) -> Trained:
        """Train mapper and language model; see `Trainable.train`."""
        from predictors.clip_gpt2.train import train

        return train(job)
