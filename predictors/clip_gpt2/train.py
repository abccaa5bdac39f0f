"""Training a prefix captioner: mapper and GPT-2 are trained, CLIP is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch

from ensembler.files import atomic_write
from ensembler.training.contract import FoldJob, Trained
from predictors.clip_gpt2.captioning import Parts, PrefixCaptioner, begin_parts
from predictors.clip_gpt2.config import ClipGpt2Config
from predictors.shared.attached import Attached
from predictors.shared.hf import save_folder
from predictors.shared.text import TextHead
from predictors.shared.training.captions import CaptionOutput, text_task
from predictors.shared.training.loop import train_fold
from predictors.shared.training.losses import token_nll
from predictors.shared.training.role_files import copy_role_files
from predictors.shared.training.start import start_training
from predictors.shared.training.state import pack_tensors, strip_prefix
from predictors.shared.training.texts import Frame, plain_tokens
from predictors.shared.training.tied_weights import TiedModule
from predictors.shared.weights import StateDict, load_strictly, load_weights


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with a CLIP tower and a GPT-2; the mapper is new unless it is given.
    """
    language = "a GPT-2, a folder as transformers saves it"
    start_training(job, {"tower": "a CLIP tower, a checkpoint of timm", "language": language})
    parts = begin_parts(job.config, job.weights["tower"], job.weights["language"])
    if mapper := job.weights.get("mapper"):
        load_strictly(parts.mapper, load_weights(mapper), mapper)
    model = PrefixTrainee(job.config, parts)
    return train_fold(model, job, copy_role_files(job, "tower", "encoder"), text_task)


class PrefixTrainee(TiedModule):
    """A prefix captioner in training: a `CaptionTrainee`.

    Attributes:
        tower: the language model: a warm-up leaves it frozen, and `freeze` counts its blocks.
        mapper: from CLIP's embeddings to prefixes.
        preprocess: CLIP's preprocessing of images.
        frame: nothing before a text, the end token after it.
    """

    serves: ClassVar[tuple[str, ...]] = ("tokens",)
    files: ClassVar[dict[str, str]] = {"mapper": "mapper.safetensors", "language": "language"}

    def __init__(self, config: ClipGpt2Config, parts: Parts) -> None:
        """Wrap the parts."""
        super().__init__()
        self._config, self._tokenizer = config, parts.tokenizer
        self._clip = Attached(parts.tower)
        self.preprocess = parts.tower.preprocess
        self.mapper = parts.mapper
        self.tower = parts.language.requires_grad_(requires_grad=True)
        places = self.tower.config.max_position_embeddings - config.mapper.prefix_tokens
        self.frame = Frame((), self._tokenizer.eos_token_id, places)

    @property
    def stem(self) -> list[torch.nn.Module]:
        """The embeddings of tokens, tied to the output layer, and of positions."""
        return [self.tower.transformer.wte, self.tower.transformer.wpe]

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """The blocks of GPT-2, lowest first."""
        return list(self.tower.transformer.h)

    def no_weight_decay(self) -> set[str]:
        """Names of the position embeddings."""
        return {"tower.transformer.wpe.weight", "mapper.queries"}

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> CaptionOutput:
        """The negative log-likelihood of prompts; see `CaptionTrainee`."""
        with torch.no_grad():
            features = self._clip(pixels)
        prefix = self.mapper(features)
        # A token sees only those before it, so that any token may stand for the padding.
        embedded = self.tower.get_input_embeddings()(tokens[:, :-1].clamp(min=0))
        output = self.tower(
            inputs_embeds=torch.cat([prefix.to(embedded.dtype), embedded], dim=1),
            logits_to_keep=tokens.shape[1],
            use_cache=False,
        )
        return CaptionOutput(token_nll(output.logits, tokens))

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""
        return plain_tokens(self._tokenizer, texts)

    def captioner(self, head: TextHead) -> PrefixCaptioner:
        """A captioner with the current weights."""
        parts = Parts(self._clip.module, self.mapper, self.tower, self._tokenizer)
        return PrefixCaptioner(self._config, parts, head=head, device=self.tower.device)

    def write(self, weights: StateDict, folder: Path) -> None:
        """Write the mapper's file and the language model's folder."""
        with atomic_write(folder / self.files["mapper"]) as file:
            file.write(pack_tensors(strip_prefix("mapper.", weights)))
        language = strip_prefix("tower.", weights)
        save_folder(folder / self.files["language"], self.tower, language, self._tokenizer)
