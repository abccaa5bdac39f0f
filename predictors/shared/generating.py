"""Image-to-text models of transformers as captioners."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForImageTextToText, LogitsProcessorList

from ensembler.errors import PredictorError, first_few
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Described
from predictors.shared.hf import load_model, load_processor, preprocess_of
from predictors.shared.nan_watch import NanWatch
from predictors.shared.pixels import to_tensor
from predictors.shared.text import TextHead
from predictors.shared.wording import Wording

TOKENS: Final = ("input_ids", "attention_mask")  # of a prompt, passed to `generate`
IGNORED: Final = ("token_type_ids",)  # made by some tokenizers, accepted by no generating model
COLOUR: Final = (40, 120, 200)  # of the image that shows what a processor does to channels
ALIKE: Final = 1e-4  # tolerance of normalised pixels; the order of float32 operations differs


class Prompt(NamedTuple):
    """A prompt as a model needs it.

    Attributes:
        tokens: arguments of `generate`, each of shape (1, length); empty without a prompt.
        echo: number of tokens in the output before the first that the model generated.
    """

    tokens: dict[str, Any]
    echo: int


class Speaker(NamedTuple):
    """An image-to-text model and its processor.

    Attributes:
        model: a transformers model from images to texts.
        processor: the model's processor of images and tokens.
        folder: the folder that they are from, for messages.
    """

    model: Any
    processor: Any
    folder: Path


class ImageToText:
    """A `Captioner` of a loaded image-to-text model and a text head.

    Attributes:
        dim: vector dimension of the sentence encoder.
        preprocess: the steps of the folder's image processor, as data.
        encoder_record: the sentence encoder.
    """

    def __init__(self, speaker: Speaker, wording: Wording, prompt: str, *, head: TextHead) -> None:
        """Prepare the prompt, measuring what the model echoes of it.

        Args:
            speaker: model and processor, on their device, in eval mode.
            wording: how texts are searched for.
            prompt: a question, or the beginning of captions; "" for no prompt.
            head: frames the texts and turns them into vectors.

        Raises:
            PredictorError: the processor does more than a `Preprocess` can express.
        """
        self._model, processor, folder = speaker
        self.dim = head.dim
        self.encoder_record = head.encoder.record
        self.preprocess = preprocess_of(processor.image_processor, folder)
        self._wording, self._head = wording, head
        self._tokenizer = processor.tokenizer
        self._prompt = self._prepared(_tokens(processor, self.preprocess, prompt, folder), folder)

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """For each image, the mean of its texts' unit vectors: (n, dim) float32."""
        return self.describe(images).embeddings

    def describe(self, images: NDArray[np.uint8]) -> Described:
        """The encoded texts, prefix and suffix included, and their vectors.

        A vector is NaN where half precision overflowed and so the search went wrong.
        """
        texts, overflowed = self._search(images)
        described = self._head.describe(texts)
        described.embeddings[overflowed] = np.nan
        return described

    def hypotheses(self, images: NDArray[np.uint8]) -> list[list[str]]:
        """The model's texts for each image, likeliest first, without prompt, prefix and suffix.

        Args:
            images: (n, height, width, 3) uint8 RGB, resized as `preprocess` says; n may be 0.

        Returns:
            n lists, each of as many texts as the config asks for.
        """
        return self._search(images)[0]

    def _search(self, images: NDArray[np.uint8]) -> tuple[list[list[str]], NDArray[np.bool_]]:
        """The hypotheses, and for each image whether some token's score was NaN, (n,)."""
        if len(images) == 0:
            return [], np.zeros(0, dtype=bool)
        each, watch = self._wording.hypotheses, NanWatch(len(images))
        tokens = self._generate(
            images,
            self._prompt.tokens,
            num_beams=self._wording.beams,
            num_return_sequences=each,
            min_new_tokens=self._wording.min_tokens,
            max_new_tokens=self._wording.max_tokens,
            logits_processor=LogitsProcessorList([watch]),
        )
        texts = self._tokenizer.batch_decode(
            tokens[:, self._prompt.echo :], skip_special_tokens=True
        )
        texts = [text.strip() for text in texts]
        return [texts[at : at + each] for at in range(0, len(texts), each)], watch.seen

    def _generate(self, images: NDArray[np.uint8], tokens: dict[str, Any], **search: Any) -> Any:  # noqa: ANN401 - a tensor
        device = self._model.device
        # Repeated, not expanded: BLIP writes into the tokens it is given.
        prompt = {name: t.repeat(len(images), 1).to(device) for name, t in tokens.items()}
        pixels = to_tensor(images, self.preprocess, device).to(self._model.dtype)
        with torch.inference_mode():
            return self._model.generate(pixel_values=pixels, do_sample=False, **prompt, **search)

    def _prepared(self, tokens: dict[str, Any], folder: Path) -> Prompt:
        """The prompt in the form that the model needs, and its echo.

        Whether the output repeats the prompt, in whole or in part, differs between models. So the
        echo is measured: one token is generated, and all tokens before it are the echo.
        """
        place = getattr(self._model.config, "image_token_id", None)
        if tokens and place is not None and place not in tokens["input_ids"]:
            raise PredictorError(
                f"{folder}: the prompt has no token for the image, so the model would"
                " answer without seeing it; write the image's token into the prompt, or for BLIP-2"
                " the model's num_query_tokens into processor_config.json"
            )
        image = _plain_image(self.preprocess)
        length = self._generate(
            image, tokens, num_beams=1, num_return_sequences=1, max_new_tokens=1
        ).shape[1]
        prompt = Prompt(tokens, length - 1)
        # A model that continues a prompt must not be given the prompt's end token. BLIP removes it
        # itself, and a model that encodes the prompt needs it: neither echoes the whole prompt.
        ends = {self._tokenizer.eos_token_id, self._tokenizer.sep_token_id}
        written = tokens["input_ids"][0].tolist() if tokens else []
        if written and len(written) == prompt.echo and written[-1] in ends:
            cut = {name: values[:, :-1] for name, values in tokens.items()}
            return Prompt(cut, prompt.echo - 1)
        return prompt


def load_speaker(folder: Path, *, device: str, dtype: torch.dtype = torch.float32) -> Speaker:
    """Load an image-to-text model and its processor for inference.

    Args:
        folder: a folder of model and processor, as `save_pretrained` writes them.
        device: a torch device name.
        dtype: type of the model's weights.

    Raises:
        PredictorError: transformers has no image-to-text class for the folder, or weights are
            missing, unexpected or not finite.
    """
    model = load_model(AutoModelForImageTextToText, folder, device=device, dtype=dtype)
    return Speaker(model, load_processor(folder), folder)


def _tokens(processor: Any, preprocess: Preprocess, prompt: str, folder: Path) -> dict[str, Any]:  # noqa: ANN401 - untyped library
    """A prompt's tokens; some processors add placeholders for the image.

    Raises:
        PredictorError: the processor refuses the prompt, does not prepare an image as `preprocess`
            does, or its model needs inputs beside image and prompt.
    """
    image = _plain_image(preprocess)
    text = {"text": prompt} if prompt else {}
    try:
        inputs = dict(processor(images=image[0], return_tensors="pt", **text))
    except ValueError as error:
        raise PredictorError(
            f"{folder}: its processor does not take the prompt {prompt!r}: {error}"
        ) from error
    theirs, ours = inputs.pop("pixel_values", None), to_tensor(image, preprocess, "cpu")
    same = isinstance(theirs, torch.Tensor) and theirs.shape == ours.shape
    if not same or not torch.allclose(theirs, ours, rtol=0, atol=ALIKE):
        raise PredictorError(
            f"{folder}: its {type(processor.image_processor).__name__} does more than resize, crop"
            " and normalise an image; such models are not supported"
        )
    unknown = sorted(inputs.keys() - {*TOKENS, *IGNORED})
    if unknown:
        raise PredictorError(
            f"{folder}: its model needs {first_few(unknown)} beside one image and a prompt; such"
            " models are not supported"
        )
    return {name: inputs[name] for name in TOKENS if name in inputs}


def _plain_image(preprocess: Preprocess) -> NDArray[np.uint8]:
    """An image of one colour, (1, height, width, 3) uint8, which resizing and cropping keep."""
    return np.full((1, preprocess.height, preprocess.width, 3), COLOUR, dtype=np.uint8)
