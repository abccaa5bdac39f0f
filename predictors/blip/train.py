"""Fine-tuning a BLIP captioner: vision tower and text decoder learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch

from ensembler.training.contract import FoldJob, Trained
from predictors.blip.config import BlipConfig
from predictors.blip.loading import load_blip
from predictors.shared.generating import ImageToText, Speaker
from predictors.shared.hf import preprocess_of, save_folder
from predictors.shared.text import TextHead
from predictors.shared.training.captions import CaptionOutput, text_task
from predictors.shared.training.loop import train_fold
from predictors.shared.training.losses import PADDING, token_nll
from predictors.shared.training.role_files import copy_role_files
from predictors.shared.training.start import start_training
from predictors.shared.training.state import strip_prefix
from predictors.shared.training.texts import Frame, plain_tokens
from predictors.shared.training.tied_weights import TiedModule
from predictors.shared.weights import StateDict


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`."""
    start_training(job, {"model": "a BLIP captioner, a folder as transformers saves it"})
    speaker = load_blip(job.weights["model"], device="cpu")
    return train_fold(
        BlipTrainee(job.config, speaker), job, copy_role_files(job, "encoder"), text_task
    )


class BlipTrainee(TiedModule):
    """A BLIP captioner in training: a `CaptionTrainee`.

    Attributes:
        tower: its vision model.
        head: its text decoder.
        preprocess: the preprocessing of its images.
        frame: its first token and the config's prompt before a text, the end token after it.
    """

    serves: ClassVar[tuple[str, ...]] = ("tokens",)
    files: ClassVar[dict[str, str]] = {"model": "model"}

    def __init__(self, config: BlipConfig, speaker: Speaker) -> None:
        """Wrap a loaded captioner."""
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
        """The embedding of patches."""
        return [self.tower.embeddings]

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """The blocks of the vision tower, lowest first."""
        return list(self.tower.encoder.layers)

    def no_weight_decay(self) -> set[str]:
        """Names of the class token and of the position embeddings."""
        return {
            "tower.embeddings.class_embedding",
            "tower.embeddings.position_embedding",
            "head.bert.embeddings.position_embeddings.weight",
        }

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> CaptionOutput:
        """The negative log-likelihood of prompts; see `CaptionTrainee`."""
        # A token sees only those before it, so that any token may stand for the padding.
        decoded = self.head(
            input_ids=tokens[:, :-1].clamp(min=0),
            encoder_hidden_states=self.tower(pixel_values=pixels).last_hidden_state,
            use_cache=False,
        )
        wanted = tokens[:, 1:].clone()
        wanted[:, : len(self.frame.start) - 1] = PADDING
        return CaptionOutput(token_nll(decoded.logits, wanted))

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""
        return plain_tokens(self._speaker.processor.tokenizer, texts)

    def captioner(self, head: TextHead) -> ImageToText:
        """A captioner with the current weights."""
        return ImageToText(self._speaker, self._config, self._config.prompt, head=head)

    def write(self, weights: StateDict, folder: Path) -> None:
        """Write a folder of model and processor."""
        named = {"vision_model.": "tower.", "text_decoder.": "head."}
        state = {
            theirs + name: tensor
            for theirs, ours in named.items()
            for name, tensor in strip_prefix(ours, weights).items()
        }
        whole, processor, _ = self._speaker
        save_folder(folder / self.files["model"], whole, state, processor)
