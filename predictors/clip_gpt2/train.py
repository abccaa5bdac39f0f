"""Training a prefix captioner: the mapper and GPT-2 learn, CLIP stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from ensembler.errors import InputError
from ensembler.files import atomic_write
from ensembler.training.contract import FoldJob, Trained
from predictors.clip_gpt2.captioning import Parts, PrefixCaptioner, begin_parts
from predictors.clip_gpt2.config import ClipGpt2Config
from predictors.shared.aside import Aside
from predictors.shared.hf import save_folder
from predictors.shared.text import TextHead
from predictors.shared.training.captions import Said, text_task
from predictors.shared.training.each_once import EachOnce
from predictors.shared.training.keeping import keep
from predictors.shared.training.loop import train_fold
from predictors.shared.training.losses import token_nll
from predictors.shared.training.state import Tensors, below, packed
from predictors.shared.training.texts import Frame
from predictors.shared.weights import load_state, load_strictly


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`.

    It begins with a CLIP tower and a GPT-2; the mapper is new, unless it is given too.
    """
    missing = [role for role in ("tower", "language") if role not in job.weights]
    if missing:
        raise InputError(
            f"training begins with a CLIP tower and a language model, and no {missing[0]} is given:"
            f" say --weights {missing[0]}=PATH"
        )
    torch.manual_seed(job.recipe.seed)
    parts = begin_parts(job.config, job.weights["tower"], job.weights["language"])
    if mapper := job.weights.get("mapper"):
        load_strictly(parts.mapper, load_state(mapper), mapper)
    model = PrefixTrainee(job.config, parts)
    return train_fold(model, job, keep(job, "tower", "encoder"), text_task)


class PrefixTrainee(EachOnce):
    """A prefix captioner that learns: a `CaptionTrainee`.

    Attributes:
        tower: the language model: a warm-up leaves it frozen, and `freeze` counts its blocks.
        mapper: from CLIP's embeddings to prefixes.
        preprocess: how CLIP wants its images.
        frame: nothing before a text, and the end behind it.
    """

    serves: ClassVar[tuple[str, ...]] = ("tokens",)
    files: ClassVar[dict[str, str]] = {"mapper": "mapper.safetensors", "language": "language"}

    def __init__(self, config: ClipGpt2Config, parts: Parts) -> None:
        """Take over the parts."""
        super().__init__()
        self._config, self._tokenizer = config, parts.tokenizer
        self._clip = Aside(parts.tower)
        self.preprocess = parts.tower.preprocess
        self.mapper = parts.mapper
        self.tower = parts.language.requires_grad_(requires_grad=True)
        places = self.tower.config.max_position_embeddings - config.mapper.prefix_tokens
        self.frame = Frame((), self._tokenizer.eos_token_id, places)

    @property
    def stem(self) -> list[torch.nn.Module]:
        """Embeddings of tokens, which are those of the output too, and of places."""
        return [self.tower.transformer.wte, self.tower.transformer.wpe]

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """GPT-2's, the lowest first."""
        return list(self.tower.transformer.h)

    def no_weight_decay(self) -> set[str]:
        """Names of embeddings of places."""
        return {"tower.transformer.wpe.weight", "mapper.queries"}

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Said:
        """What images' prompts cost; see `CaptionTrainee`."""
        with torch.no_grad():
            features = self._clip(pixels)
        prefix = self.mapper(features)
        # A token sees those before it alone, so that what stands for padding changes nothing.
        known = self.tower.get_input_embeddings()(tokens[:, :-1].clamp(min=0))
        said = self.tower(
            inputs_embeds=torch.cat([prefix.to(known.dtype), known], dim=1),
            logits_to_keep=tokens.shape[1],
            use_cache=False,
        )
        return Said(token_nll(said.logits, tokens))

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""
        found: Any = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return found["input_ids"]  # type: ignore[no-any-return]  # lists of integers

    def captioner(self, head: TextHead) -> PrefixCaptioner:
        """What describes images with the weights as they are."""
        parts = Parts(self._clip.module, self.mapper, self.tower, self._tokenizer)
        return PrefixCaptioner(self._config, parts, head=head, device=self.tower.device)

    def write(self, weights: Tensors, folder: Path) -> None:
        """Write the mapper's file and the language model's folder."""
        with atomic_write(folder / self.files["mapper"]) as file:
            file.write(packed(below("mapper.", weights)))
        language, own = folder / self.files["language"], below("tower.", weights)
        save_folder(language, self.tower, own, self._tokenizer)
