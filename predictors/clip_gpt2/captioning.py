"""A captioner of a frozen CLIP tower, a mapper and a language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, LogitsProcessorList

from ensembler.errors import PredictorError
from ensembler.predicting.contract import Described
from predictors.clip_gpt2.config import ClipGpt2Config
from predictors.clip_gpt2.mapper import PrefixMapper
from predictors.shared.hf import load_model, load_tokenizer
from predictors.shared.nan_watch import NanWatch
from predictors.shared.pixels import to_tensor
from predictors.shared.text import TextHead
from predictors.shared.tower import Tower, load_tower
from predictors.shared.weights import load_strictly, load_weights


class Parts(NamedTuple):
    """The parts of a prefix captioner.

    Attributes:
        tower: the CLIP tower, from pixels to embeddings.
        mapper: the mapper, from embeddings to prefixes.
        language: the transformers model that continues prefixes.
        tokenizer: the tokenizer of that model.
    """

    tower: Tower
    mapper: PrefixMapper
    language: Any
    tokenizer: Any


class PrefixCaptioner:
    """A `Captioner` whose language model continues the mapper's prefix of an image.

    Attributes:
        dim: vector dimension of the sentence encoder.
        preprocess: the preprocessing that the tower's images need.
        encoder_record: the sentence encoder.
    """

    def __init__(
        self, config: ClipGpt2Config, parts: Parts, *, head: TextHead, device: torch.device | str
    ) -> None:
        """Assemble the captioner.

        Args:
            config: the search for texts.
            parts: the parts, on their device and in eval mode.
            head: adds prefix and suffix to the texts and turns them into vectors.
            device: the device of the parts.
        """
        self.dim = head.dim
        self.encoder_record = head.encoder.record
        self.preprocess = parts.tower.preprocess
        self._tower, self._mapper, self._language, self._tokenizer = parts
        self._config, self._head, self._device = config, head, device

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """For each image, the mean of its texts' unit vectors: (n, dim) float32."""
        return self.describe(images).embeddings

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """The encoded texts, prefix and suffix included, and their vectors.

        A vector is NaN where the language model received or computed NaN, as when half precision
        overflows.
        """
        if len(images) == 0:
            return self._head.describe([])
        with torch.inference_mode():
            prefix = self._mapper(self._tower(to_tensor(images, self.preprocess, self._device)))
            broken = ~prefix.isfinite().flatten(1).all(dim=1)
            texts, overflowed = self._continue(prefix.masked_fill(broken[:, None, None], 0.0))
        described = self._head.describe(texts)
        described.embeddings[broken.cpu().numpy() | overflowed] = np.nan
        return described

    def _continue(self, prefix: torch.Tensor) -> tuple[list[list[str]], NDArray[np.bool_]]:
        """The texts of each image, likeliest first, and whether a token's score was NaN, (n,)."""
        each, end = self._config.hypotheses, self._tokenizer.eos_token_id
        watch = NanWatch(len(prefix))
        tokens = self._language.generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            do_sample=False,
            num_beams=self._config.beams,
            num_return_sequences=each,
            min_new_tokens=self._config.min_tokens,
            max_new_tokens=self._config.max_tokens,
            eos_token_id=end,
            pad_token_id=end,
            logits_processor=LogitsProcessorList([watch]),
        )
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        texts = [text.strip() for text in texts]
        return [texts[at : at + each] for at in range(0, len(texts), each)], watch.seen


def load_parts(config: ClipGpt2Config, files: Mapping[str, Path], *, device: str) -> Parts:
    """Load the three parts for inference.

    Args:
        config: the config of the parts.
        files: `tower`, `mapper` and `language`.
        device: a torch device name.

    Raises:
        PredictorError: a file is not what its role says, or the parts do not fit each other.
    """
    parts = begin_parts(config, files["tower"], files["language"])
    load_strictly(parts.mapper, load_weights(files["mapper"]), files["mapper"])
    parts.mapper.eval().requires_grad_(requires_grad=False)
    for part in parts[:3]:
        part.to(device)
    return parts


def begin_parts(config: ClipGpt2Config, tower: Path, language: Path) -> Parts:
    """Load tower and language model, with a newly initialised mapper between them.

    Args:
        config: the config of the parts.
        tower: a checkpoint of the CLIP tower.
        language: a transformers folder.

    Raises:
        PredictorError: a file is not what its role says, or the parts do not fit each other.
    """
    clip = load_tower(config.tower, tower)
    model = load_model(AutoModelForCausalLM, language, device="cpu")
    tokenizer = load_tokenizer(language)
    _check_fit(config, model.config, tokenizer, language)
    width = model.get_input_embeddings().embedding_dim
    return Parts(clip, PrefixMapper(config.mapper, clip.dim, width), model, tokenizer)


def _check_fit(config: ClipGpt2Config, language: Any, tokenizer: Any, folder: Path) -> None:  # noqa: ANN401 - untyped library
    """Refuse a tokenizer that is not the model's, and texts longer than its context."""
    if len(tokenizer) != language.vocab_size:
        raise PredictorError(
            f"{folder}: the model knows {language.vocab_size} tokens and the tokenizer"
            f" {len(tokenizer)}: save the model's own tokenizer beside it"
        )
    wanted = config.mapper.prefix_tokens + config.max_tokens
    if wanted > language.max_position_embeddings:
        raise PredictorError(
            f"mapper.prefix_tokens + max_tokens = {wanted}, but the context of {folder} is"
            f" {language.max_position_embeddings} tokens"
        )
