"""Fine-tuning a CoCa: it learns to say prompts and, beside them, to find its own among others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import open_clip
import torch
from torch.nn.functional import pad

from ensembler.errors import InputError
from ensembler.files import atomic_write
from ensembler.training.contract import FoldJob, Trained
from predictors.coca.captioning import CocaCaptioner
from predictors.coca.config import CocaConfig
from predictors.coca.model import LoadedCoca, load_coca
from predictors.shared.text import TextHead
from predictors.shared.training.captions import Pairs, Said, text_task
from predictors.shared.training.each_once import EachOnce
from predictors.shared.training.keeping import keep
from predictors.shared.training.loop import train_fold
from predictors.shared.training.losses import PADDING, token_nll
from predictors.shared.training.state import Tensors, below, packed
from predictors.shared.training.texts import Frame

LARGEST_SCALE: Final = math.log(100.0)  # of cosines, as CLIP and its heirs bound it


def train(job: FoldJob) -> Trained:
    """Train one fold's checkpoint; see `Trainable.train`."""
    if "weights" not in job.weights:
        raise InputError(
            "training begins with a CoCa, and none is given: say --weights FILE, open_clip's"
            " checkpoint"
        )
    torch.manual_seed(job.recipe.seed)
    loaded = load_coca(job.config.model, job.weights.get("architecture"), job.weights["weights"])
    beside = keep(job, "architecture", "encoder")
    return train_fold(CocaTrainee(job.config, loaded), job, beside, text_task)


class CocaTrainee(EachOnce):
    """A CoCa that learns: a `CaptionTrainee` with a text tower.

    Its loss of {tokens = 2.0, info_nce = 1.0} is that of Yu et al. 2022, as open_clip weighs it.

    Attributes:
        tower: its image tower.
        text: its text tower.
        decoder: which says the texts.
        scale: the logarithm of its cosines' scale, learned.
        preprocess: how it wants its images.
        frame: its first token before a text, and the end behind it.
    """

    serves: ClassVar[tuple[str, ...]] = ("tokens", "info_nce", "ranking", "cosine")
    files: ClassVar[dict[str, str]] = {"weights": "open_clip_model.safetensors"}
    names: ClassVar[dict[str, str]] = {"tower": "visual", "text": "text", "decoder": "text_decoder"}

    def __init__(self, config: CocaConfig, loaded: LoadedCoca) -> None:
        """Take over a model."""
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
        """What makes patches of pixels, with the places that they are at."""
        beside = [self.tower.class_embedding, self.tower.positional_embedding]
        return [self.tower.conv1, self.tower.ln_pre, torch.nn.ParameterList(beside)]

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """The image tower's, the lowest first."""
        return list(self.tower.transformer.resblocks)

    def no_weight_decay(self) -> set[str]:
        """Names of embeddings of places, and of the tokens of a whole image and a whole text."""
        parts = {"tower": self.tower, "text": self.text}
        return {f"{n}.{one}" for n, part in parts.items() for one in part.no_weight_decay()}

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor) -> Said:
        """What images' prompts cost, and both in CoCa's common space; see `CaptionTrainee`.

        The text tower sums a text up behind its last place, padding or not: so all are padded to
        as many places, as in the published training.
        """
        whole = self._loaded.model
        framed = pad(tokens, (0, self.frame.places - tokens.shape[1]), value=PADDING)
        said = whole(pixels, framed.where(framed != PADDING, whole.pad_id))
        scale = self.scale.clamp(max=LARGEST_SCALE).exp().expand(len(pixels))
        pairs = Pairs(said["image_features"], said["text_features"], scale)
        return Said(token_nll(said["logits"], framed[:, 1:]), pairs)

    def tokenise(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """The tokens of texts, without their frame."""
        return [self._tokenizer.encode(text) for text in texts]

    def captioner(self, head: TextHead) -> CocaCaptioner:
        """What describes images with the weights as they are."""
        device = str(self.scale.device)
        return CocaCaptioner(self._loaded, self._config, head=head, device=device)

    def write(self, weights: Tensors, folder: Path) -> None:
        """Write open_clip's checkpoint."""
        state = {"logit_scale": weights["scale"]} | {
            f"{theirs}.{name}": one
            for ours, theirs in self.names.items()
            for name, one in below(f"{ours}.", weights).items()
        }
        with atomic_write(folder / self.files["weights"]) as file:
            file.write(packed(state))
