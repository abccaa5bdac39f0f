"""Fine-tuning a BLIP captioner: vision tower and text decoder learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch

from ensembler.errors import InputError
from ensembler.training.contract import FoldJob, Trained
from predictors.blip.config import BlipConfig
from predictors.blip.loading import load_blip
from predictors.shared.generating import ImageToText, Speaker
from predictors.shared.hf import preprocess_of, save_folder
from predictors.shared.text import TextHead
from predictors.shared.training.captions import Said, text_task
from predictors.shared.training.each_once import EachOnce
from predictors.shared.training.keeping import keep
from predictors.shared.training.loop import train_fold
from predictors.shared.training.losses import PADDING, token_nll
from predictors.shared.training.state import Tensors, below
from predictors.shared.training.texts import Frame


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`."""
    if "model" not in job.weights:
        raise InputError(
            "training begins with a BLIP captioner, and none is given: say --weights DIR, a"
            " transformers folder"
        )
    torch.manual_seed(job.recipe.seed)
    speaker = load_blip(job.weights["model"], device="cpu")
    return train_fold(BlipTrainee(job.config, speaker), job, keep(job, "encoder"), text_task)


class BlipTrainee(EachOnce):
    """A BLIP captioner that learns: a `CaptionTrainee`.

    Attributes:
        tower: its vision model.
        head: its text decoder.
        preprocess: how it wants its images.
        frame: its first token and the config's prompt before a text, and the end behind it.
    """

    serves: ClassVar[tuple[str, ...]] = ("tokens",)
    files: ClassVar[dict[str, str]] = {"model": "model"}

    def __init__(self, config: BlipConfig, speaker: Speaker) -> None:
        """Take over a model."""
        super().__init__()
        self._config = config
        # In a tuple, where torch does not look for modules: its parts have their own names here.
        self._speaker = speaker
        whole, processor, folder = speaker
        whole.requires_grad_(requires_grad=True)
        self.tower, self.head = whole.vision_model, whole.text_decoder
        self.preprocess = preprocess_of(processor.image_processor, folder)
        text = whole.config.text_config
        (prompt,) = self.tokenise([config.prompt])
        self.frame = Frame(
            (text.bos_token_id, *prompt), text.sep_token_id, text.max_position_embeddings
        )

    @property
    def stem(self) -> list[torch.nn.Module]:
        """What makes patches of pixels."""
        return [self.tower.embeddings]

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """The vision tower's, the lowest first."""
        return list(self.tower.encoder.layers)

    def no_weight_decay(self) -> set[str]:
        """Names of embeddings of places, and of the token of the whole image."""
        return {
            "tower.embeddings.class_embedding",
            "tower.embeddings.position_embedding",
            "head.bert.embeddings.position_embeddings.weight",
        }

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Said:
        """What images' prompts cost; see `CaptionTrainee`."""
        # A token sees those before it alone, so that what stands for padding changes nothing.
        said = self.head(
            input_ids=tokens[:, :-1].clamp(min=0),
            encoder_hidden_states=self.tower(pixel_values=pixels).last_hidden_state,
            use_cache=False,
        )
        wanted = tokens[:, 1:].clone()
        wanted[:, : len(self.frame.start) - 1] = PADDING
        return Said(token_nll(said.logits, wanted))

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""
        tokenizer = self._speaker.processor.tokenizer
        found = tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return found["input_ids"]  # type: ignore[no-any-return]  # lists of integers

    def captioner(self, head: TextHead) -> ImageToText:
        """What describes images with the weights as they are."""
        return ImageToText(self._speaker, self._config, self._config.prompt, head=head)

    def write(self, weights: Tensors, folder: Path) -> None:
        """Write a folder of model and processor."""
        named = {"vision_model.": "tower.", "text_decoder.": "head."}
        state = {
            theirs + name: one
            for theirs, ours in named.items()
            for name, one in below(ours, weights).items()
        }
        whole, processor, _ = self._speaker
        save_folder(folder / self.files["model"], whole, state, processor)
