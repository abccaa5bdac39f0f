"""A whole CLIP of open_clip, images and texts, from one local file; never with a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
from predictors.shared.weights import load_state, load_strictly

BATCH: Final = 256  # texts in one pass
# Keys of text towers that would fetch a model or a tokenizer, and of models that are no plain CLIP.
FOREIGN: Final = ("hf_model_name", "hf_tokenizer_name", "multimodal_cfg")


class Clip:
    """Images and texts as vectors of one space, in float32 and of unit length.

    Attributes:
        dim: numbers in a vector.
        preprocess: how it wants its images.
        device: where it is, as torch names it.
        digest: of weights and architecture: equal digests, equal vectors.
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
        """(n, dim) on the device; NaN where half precision overflows.

        Args:
            images: (n, height, width, 3) uint8, as `preprocess` says; n is at least 1.
        """
        with torch.inference_mode():
            features = self._model.encode_image(to_tensor(images, self.preprocess, self.device))
            return torch.nn.functional.normalize(features.float(), dim=-1)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim); a text longer than the model's context is cut.

        Args:
            texts: n of them, at least 1.
        """
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                tokens = self._tokenize(list(texts[start : start + BATCH])).to(self.device)
                features = self._model.encode_text(tokens).float()
                parts.append(torch.nn.functional.normalize(features, dim=-1).cpu().numpy())
        return np.concatenate(parts)


def load_clip(config: ClipConfig, path: Path, device: str) -> Clip:
    """Load a model with its weights, in eval mode.

    Args:
        config: architecture and tag.
        path: open_clip's checkpoint.
        device: as torch names it.

    Raises:
        PredictorError: open_clip has no such architecture or tag, it needs files from a network,
            or the file does not hold exactly its weights.
    """
    architecture, tag = described(config)
    custom = architecture.pop("custom_text", False)
    # The activation is OpenAI's or not as the tag's weights were trained, whatever the name says.
    architecture["quick_gelu"] = bool(architecture.get("quick_gelu") or tag.get("quick_gelu"))
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**architecture)
    load_strictly(model, load_state(path), path)
    return Clip(
        model.eval().requires_grad_(False),
        open_clip.get_tokenizer(config.model),
        openclip_preprocess(architecture["vision_cfg"]["image_size"], tag, config.model),
        device=device,
        digest=sha256_json([file_digest(path), config.model, config.tag]),
    )


def described(config: ClipConfig) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """An architecture and what open_clip records for the tag of its weights.

    Raises:
        PredictorError: there is no such architecture or tag, or it needs files from a network.
    """
    if config.model not in open_clip.list_models():
        raise PredictorError(unknown_name("open_clip model", config.model, open_clip.list_models()))
    tags = open_clip.list_pretrained_tags_by_model(config.model)
    if config.tag is None and tags:
        raise PredictorError(
            f"open_clip's {config.model!r} has published weights whose colours or activation"
            f" differ: say the tag of yours, {first_few(tags, 20)}"
        )
    if config.tag is not None and config.tag not in tags:
        raise PredictorError(f"{config.model}: {unknown_name('tag', config.tag, tags)}")
    architecture: dict[str, Any] = open_clip.get_model_config(config.model)
    foreign = [key for key in FOREIGN if key in architecture | architecture["text_cfg"]]
    if foreign:
        raise PredictorError(
            f"open_clip's {config.model!r} has {first_few(foreign)}: its texts need another"
            " library's files, or it is no plain CLIP; take one that open_clip holds whole, as"
            " ViT-H-14"
        )
    tag = open_clip.get_pretrained_cfg(config.model, config.tag) if config.tag else {}
    return architecture, tag
