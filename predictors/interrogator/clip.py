"""A whole CLIP of open_clip, for images and texts, from one local file and without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray

from ensembler.errors import PredictorError, first_few, unknown_name
from ensembler.files import sha256_json
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.checkpoints import file_digest
from predictors.interrogator.config import ClipConfig
from predictors.shared.openclip import openclip_preprocess
from predictors.shared.pixels import to_tensor
from predictors.shared.weights import load_strictly, load_weights

BATCH: Final = 256  # texts per pass
# Config keys of text towers that would fetch a model or tokenizer, and of models other than CLIP.
FOREIGN: Final = ("hf_model_name", "hf_tokenizer_name", "multimodal_cfg")


class Record(NamedTuple):
    """Open_clip's record of a CLIP.

    Attributes:
        architecture: the settings of the model.
        tag: preprocessing and activation of the tag's weights; empty without a tag.
    """

    architecture: dict[str, Any]
    tag: Mapping[str, Any]


class Clip:
    """A CLIP that embeds images and texts in one space, in float32 and at unit length.

    Attributes:
        dim: vector dimension.
        preprocess: the preprocessing that its images need.
        device: its device, as a torch device name.
        digest: digest of weights and architecture: equal digests mean equal vectors.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        tokenize: Callable[[Sequence[str]], torch.Tensor],
        preprocess: Preprocess,
        *,
        device: str,
        digest: str,
    ) -> None:
        self.preprocess, self.device, self.digest = preprocess, device, digest
        self._model = model.to(device)
        self._tokenize = tokenize
        self.dim = self.texts([""]).shape[1]

    def images(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Embed images: (n, dim) on the device; NaN where half precision overflows.

        Args:
            images: (n, height, width, 3) uint8, resized as `preprocess` says; n is at least 1.
        """
        with torch.inference_mode():
            features = self._model.encode_image(to_tensor(images, self.preprocess, self.device))
            return torch.nn.functional.normalize(features.float(), dim=-1)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: (n, dim); a text longer than the model's context is cut.

        Args:
            texts: n texts; n is at least 1.
        """
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                tokens = self._tokenize(list(texts[start : start + BATCH])).to(self.device)
                features = self._model.encode_text(tokens).float()
                parts.append(torch.nn.functional.normalize(features, dim=-1).cpu().numpy())
        return np.concatenate(parts)


def load_clip(config: ClipConfig, path: Path, device: str) -> Clip:
    """Load a CLIP with its weights, in eval mode.

    Args:
        config: architecture and tag.
        path: open_clip's checkpoint.
        device: a torch device name.

    Raises:
        PredictorError: open_clip has no such architecture or tag, it needs files from a network,
            or the file does not hold exactly its weights.
    """
    architecture, tag = find_record(config)
    custom = architecture.pop("custom_text", False)
    # The tag decides between GELU and QuickGELU as its weights were trained, whatever the name.
    architecture["quick_gelu"] = bool(architecture.get("quick_gelu") or tag.get("quick_gelu"))
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**architecture)
    load_strictly(model, load_weights(path), path)
    return Clip(
        model.eval().requires_grad_(False),
        open_clip.get_tokenizer(config.model),
        openclip_preprocess(architecture["vision_cfg"]["image_size"], tag, config.model),
        device=device,
        digest=sha256_json([file_digest(path), config.model, config.tag]),
    )


def find_record(config: ClipConfig) -> Record:
    """Look up a model and the tag of its weights in open_clip's registry.

    Raises:
        PredictorError: there is no such model or tag, or the model needs files from a network.
    """
    if config.model not in open_clip.list_models():
        raise PredictorError(unknown_name("open_clip model", config.model, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(config.model)
    if config.tag is None and tags:
        raise PredictorError(
            f"open_clip's {config.model!r} has published weights whose colours or activation"
            f" differ: set the tag of yours, one of {first_few(tags, 20)}"
        )
    if config.tag is not None and config.tag not in tags:
        raise PredictorError(f"{config.model}: {unknown_name('tag', config.tag, tags)}")
    architecture: dict[str, Any] = open_clip.get_model_config(config.model)
    foreign = [key for key in FOREIGN if key in architecture | architecture["text_cfg"]]
    if foreign:
        raise PredictorError(
            f"open_clip's {config.model!r} has {first_few(foreign)}: its texts need another"
            " library's files, or it is not a plain CLIP; take one that open_clip holds whole, as"
            " ViT-H-14"
        )
    tag = open_clip.get_pretrained_cfg(config.model, config.tag) if config.tag else {}
    return Record(architecture, tag)
