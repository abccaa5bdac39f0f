"""A loaded CoCa model behind the captioner's contract."""

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
    """What a CoCa model says of images, embedded: a `Captioner`.

    Attributes:
        dim: of the sentence encoder.
        preprocess: how the model wants its images.
        encoder_record: the sentence encoder.
    """

    def __init__(
        self, loaded: LoadedCoca, config: CocaConfig, *, head: TextHead, device: str
    ) -> None:
        """Put a model on its device.

        Raises:
            PredictorError: longer texts are asked for than the model was built for.
        """
        longest = min(loaded.model.context_length, loaded.model.text.context_length)
        if config.max_tokens > longest:
            raise PredictorError(
                f"max_tokens = {config.max_tokens}, and this model's texts have {longest} at most"
            )
        self.dim = head.dim
        self.encoder_record = head.encoder.record
        self.preprocess = loaded.preprocess
        self._model = loaded.model.to(device)
        self._bounds = Bounds(loaded.start, loaded.end, config.min_tokens, config.max_tokens)
        self._config, self._head, self._device = config, head, device

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, dim) float32: of each image the mean of its texts' unit vectors."""
        return self.describe(images).embeddings

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """The texts that are encoded, prefix and suffix included, and their vectors.

        A vector is NaN where the model's logits are, as when half precision overflows.
        """
        found = self.hypotheses(images)
        texts = [[self._text(one.tokens) for one in several] for several in found]
        described = self._head.describe(texts)
        lost = [any(np.isnan(one.score) for one in several) for several in found]
        described.embeddings[np.array(lost, dtype=bool)] = np.nan
        return described

    def hypotheses(self, images: NDArray[np.uint8]) -> list[list[Hypothesis]]:
        """What the model says of each image, the likeliest first.

        Args:
            images: (n, height, width, 3) uint8 RGB, as `preprocess` says; n may be 0.

        Returns:
            n lists of as many texts as the config asks for.
        """
        if len(images) == 0:
            return []
        beams, sampling = self._config.beams, self._config.sampling
        with torch.inference_mode():
            step = self._step(images)
            if sampling is None:
                found = beam_search(step, len(images), beams, self._bounds, self._device)
            else:
                found = self._drawn(step, images, sampling)
        return [several[: self._config.hypotheses] for several in found]

    def _step(self, images: NDArray[np.uint8]) -> Step:
        """The logits of the next token, each image in as many rows as beams."""
        seen = self._model(to_tensor(images, self.preprocess, self._device))
        latent, patches = (
            seen[key].repeat_interleave(self._config.beams, dim=0)
            for key in ("image_features", "image_embs")
        )

        def logits(tokens: torch.Tensor) -> torch.Tensor:
            said = self._model(
                None, tokens, image_latent=latent, image_embs=patches, output_labels=False
            )
            return said["logits"][:, -1]

        return logits

    def _drawn(
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
        each = (drawn[start : start + beams] for start in range(0, len(drawn), beams))
        return [sorted(several, key=lambda one: one.score, reverse=True) for several in each]

    def _text(self, tokens: list[int]) -> str:
        """A text's words; a start in the middle of it is none of them."""
        kept = [token for token in tokens if token != self._bounds.start]
        return str(open_clip.decode(torch.tensor(kept))).strip() if kept else ""
