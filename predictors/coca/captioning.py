"""A loaded CoCa model as a captioner."""

from __future__ import annotations

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.predicting.contract import Described
from predictors.coca.beams import Bounds, Hypothesis, Step, beam_search
from predictors.coca.config import CocaConfig, Sampling
from predictors.coca.model import LoadedCoca
from predictors.coca.sampling import sample_top_k, uniform_numbers
from predictors.shared.pixels import to_tensor
from predictors.shared.text import TextHead


class CocaCaptioner:
    """A `Captioner` of a loaded CoCa model and a text head.

    Attributes:
        dim: vector dimension of the sentence encoder.
        preprocess: the preprocessing that the model's images need.
        encoder_record: the sentence encoder.
    """

    def __init__(
        self, loaded: LoadedCoca, config: CocaConfig, *, head: TextHead, device: str
    ) -> None:
        """Move the model to a device.

        Raises:
            PredictorError: `max_tokens` exceeds the model's context.
        """
        longest = min(loaded.model.context_length, loaded.model.text.context_length)
        if config.max_tokens > longest:
            raise PredictorError(
                f"max_tokens = {config.max_tokens}, but this model's texts have {longest} at most"
            )
        self.dim = head.dim
        self.encoder_record = head.encoder.record
        self.preprocess = loaded.preprocess
        self._model = loaded.model.to(device)
        self._bounds = Bounds(loaded.start, loaded.end, config.min_tokens, config.max_tokens)
        self._config, self._head, self._device = config, head, device

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """For each image, the mean of its texts' unit vectors: (n, dim) float32."""
        return self.describe(images).embeddings

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """The encoded texts, prefix and suffix included, and their vectors.

        A vector is NaN where the model's logits are, as when half precision overflows.
        """
        hypotheses = self.hypotheses(images)
        texts = [[self._text(text.tokens) for text in of_image] for of_image in hypotheses]
        described = self._head.describe(texts)
        overflowed = [any(np.isnan(text.score) for text in of_image) for of_image in hypotheses]
        described.embeddings[np.array(overflowed, dtype=bool)] = np.nan
        return described

    def hypotheses(self, images: NDArray[np.uint8]) -> list[list[Hypothesis]]:
        """The model's texts for each image, likeliest first.

        Args:
            images: (n, height, width, 3) uint8 RGB, resized as `preprocess` says; n may be 0.

        Returns:
            n lists, each of as many texts as the config asks for.
        """
        if len(images) == 0:
            return []
        beams, sampling = self._config.beams, self._config.sampling
        with torch.inference_mode():
            step = self._step(images)
            if sampling is None:
                texts = beam_search(step, len(images), beams, self._bounds, self._device)
            else:
                texts = self._sample(step, images, sampling)
        return [of_image[: self._config.hypotheses] for of_image in texts]

    def _step(self, images: NDArray[np.uint8]) -> Step:
        """A function to the logits of the next token, with one row per image and beam."""
        encoded = self._model(to_tensor(images, self.preprocess, self._device))
        latent, patches = (
            encoded[key].repeat_interleave(self._config.beams, dim=0)
            for key in ("image_features", "image_embs")
        )

        def logits(tokens: torch.Tensor) -> torch.Tensor:
            output = self._model(
                None, tokens, image_latent=latent, image_embs=patches, output_labels=False
            )
            return output["logits"][:, -1]

        return logits

    def _sample(
        self, step: Step, images: NDArray[np.uint8], sampling: Sampling
    ) -> list[list[Hypothesis]]:
        beams = self._config.beams
        numbers = uniform_numbers(images, beams, self._bounds.longest, sampling.seed)
        drawn = sample_top_k(
            step,
            torch.from_numpy(numbers).to(self._device),
            self._bounds,
            top_k=sampling.top_k,
            temperature=sampling.temperature,
        )
        by_image = (drawn[start : start + beams] for start in range(0, len(drawn), beams))
        return [sorted(texts, key=lambda text: text.score, reverse=True) for texts in by_image]

    def _text(self, tokens: list[int]) -> str:
        """The words of a text; start tokens within it are left out."""
        kept = [token for token in tokens if token != self._bounds.start]
        return str(open_clip.decode(torch.tensor(kept))).strip() if kept else ""
