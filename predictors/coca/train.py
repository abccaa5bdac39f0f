"""Fine-tuning a CoCa: it learns to write prompts and to tell an image's own from others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import open_clip
import torch
from torch.nn.functional import pad

from ensembler.files import atomic_write
from ensembler.training.contract import FoldJob, Trained
from predictors.coca.captioning import CocaCaptioner
from predictors.coca.config import CocaConfig
from predictors.coca.model import LoadedCoca, load_coca
from predictors.shared.text import TextHead
from predictors.shared.training.captions import CaptionOutput, Pairs, text_task
from predictors.shared.training.loop import train_fold
from predictors.shared.training.losses import PADDING, token_nll
from predictors.shared.training.role_files import copy_role_files
from predictors.shared.training.start import start_training
from predictors.shared.training.state import pack_tensors, strip_prefix
from predictors.shared.training.texts import Frame
from predictors.shared.training.tied_weights import TiedModule
from predictors.shared.weights import StateDict

LARGEST_SCALE: Final = math.log(100.0)  # of cosines, as CLIP and its heirs bound it


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`."""
    start_training(job, {"weights": "a CoCa, a checkpoint of open_clip"})
    loaded = load_coca(job.config.model, job.weights.get("architecture"), job.weights["weights"])
    beside = copy_role_files(job, "architecture", "encoder")
    return train_fold(CocaTrainee(job.config, loaded), job, beside, text_task)


class CocaTrainee(TiedModule):
    """A CoCa in training: a `CaptionTrainee` with a text tower.

    Its loss of {tokens = 2.0, info_nce = 1.0} is that of Yu et al. 2022, as open_clip weighs it.

    Attributes:
        tower: its image tower.
        text: its text tower.
        decoder: its text decoder.
        scale: logarithm of the scale of its cosines, learned.
        preprocess: the preprocessing of its images.
        frame: its first token before a text, the end token after it.
    """

    serves: ClassVar[tuple[str, ...]] = ("tokens", "info_nce", "ranking", "cosine")
    files: ClassVar[dict[str, str]] = {"weights": "open_clip_model.safetensors"}
    names: ClassVar[dict[str, str]] = {"tower": "visual", "text": "text", "decoder": "text_decoder"}

    def __init__(self, config: CocaConfig, loaded: LoadedCoca) -> None:
        """Wrap a loaded model."""
        super().__init__()
        # In a tuple, where torch does not look for modules: its parts have their own names here.
        self._config, self._loaded = config, loaded
        whole = loaded.model.requires_grad_(requires_grad=True)
        self.tower, self.text, self.decoder = whole.visual, whole.text, whole.text_decoder
        self.scale = whole.logit_scale
        self.preprocess = loaded.preprocess
        self._tokenizer = open_clip.SimpleTokenizer()
        places = min(whole.text.context_length, whole.context_length + 1)
        self.frame = Frame((loaded.start,), loaded.end, places)

    @property
    def stem(self) -> list[torch.nn.Module]:
        """The embedding of patches and of their positions."""
        embeddings = [self.tower.class_embedding, self.tower.positional_embedding]
        return [self.tower.conv1, self.tower.ln_pre, torch.nn.ParameterList(embeddings)]

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """The blocks of the image tower, lowest first."""
        return list(self.tower.transformer.resblocks)

    def no_weight_decay(self) -> set[str]:
        """Names of the position embeddings, and of the class tokens of both towers."""
        parts = {"tower": self.tower, "text": self.text}
        return {f"{n}.{name}" for n, part in parts.items() for name in part.no_weight_decay()}

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> CaptionOutput:
        """The likelihood of prompts, and the vectors of both; see `CaptionTrainee`.

        The text tower's summary token stands after the last place, whether that is padding or not:
        so all texts are padded to the same length, as in the published training.
        """
        whole = self._loaded.model
        framed = pad(tokens, (0, self.frame.places - tokens.shape[1]), value=PADDING)
        output = whole(pixels, framed.where(framed != PADDING, whole.pad_id))
        scale = self.scale.clamp(max=LARGEST_SCALE).exp().expand(len(pixels))
        pairs = Pairs(output["image_features"], output["text_features"], scale)
        return CaptionOutput(token_nll(output["logits"], framed[:, 1:]), pairs)

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""
        return [self._tokenizer.encode(text) for text in texts]

    def captioner(self, head: TextHead) -> CocaCaptioner:
        """A captioner with the current weights."""
        device = str(self.scale.device)
        return CocaCaptioner(self._loaded, self._config, head=head, device=device)

    def write(self, weights: StateDict, folder: Path) -> None:
        """Write open_clip's checkpoint."""
        state = {"logit_scale": weights["scale"]} | {
            f"{theirs}.{name}": tensor
            for ours, theirs in self.names.items()
            for name, tensor in strip_prefix(f"{ours}.", weights).items()
        }
        with atomic_write(folder / self.files["weights"]) as file:
            file.write(pack_tensors(state))
