from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.testing import damage
from ensembler.testing.predictors import CaptionerConformance, Loadable
from predictors.blip.adapter import Blip
from predictors.blip.config import BlipConfig
from predictors.shared.generating import ImageToText

Encode = Callable[[str], NDArray[np.float64]]

SEARCH: dict[str, object] = {"beams": 4, "min_tokens": 2, "max_tokens": 7}


class TestBlip(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, blip: Path) -> Loadable:
        config = {**SEARCH, "hypotheses": 3, "prompt": "a photo of", "suffix": ", highly detailed"}
        return Loadable(
            Blip,
            config,
            {"model": blip},
            tensors={"model": "vision_model.embeddings.class_embedding"},
        )


def loaded(blip: Path, **config: object) -> ImageToText:
    return Blip.load(BlipConfig.model_validate(SEARCH | config), {"model": blip}, device="cpu")


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def captions_by_hand(
    blip: Path, images: NDArray[np.uint8], count: int, prompt: str | None
) -> list[list[str]]:
    """Captions by the library alone, image by image."""
    from PIL import Image
    from transformers import BlipForConditionalGeneration, BlipProcessor

    processor = BlipProcessor.from_pretrained(blip, backend="pil")
    model = BlipForConditionalGeneration.from_pretrained(blip)
    captions = []
    for image in images:
        inputs = processor(images=Image.fromarray(image), text=prompt, return_tensors="pt")
        tokens = model.generate(
            **inputs, num_beams=4, num_return_sequences=count, min_new_tokens=2, max_new_tokens=7
        )
        before = 1 if prompt is None else inputs["input_ids"].shape[1] - 1  # BLIP drops [SEP]
        texts = processor.batch_decode(tokens[:, before:], skip_special_tokens=True)  # type: ignore[no-untyped-call]
        captions.append([text.strip() for text in texts])
    return captions


@pytest.mark.parametrize("prompt", [None, "a photo of"])
def test_captions_are_those_of_the_librarys_own_beam_search(
    blip: Path, images: NDArray[np.uint8], prompt: str | None
) -> None:
    ours = loaded(blip, hypotheses=2, prompt=prompt or "").hypotheses(images)
    assert ours == captions_by_hand(blip, images, 2, prompt)
    assert ours[0] != ours[1]


def test_a_vector_is_the_mean_of_its_hypotheses_unit_vectors(
    blip: Path, images: NDArray[np.uint8], encode: Encode
) -> None:
    captioner = loaded(blip, hypotheses=3)
    texts = captioner.hypotheses(images)
    expected = []
    for several in texts:
        vectors = [encode(text) for text in several]
        expected.append(np.mean([v / np.linalg.norm(v) for v in vectors], axis=0))
    np.testing.assert_allclose(captioner.embed(images), np.stack(expected), atol=1e-6)
    assert captioner.describe(images).captions[0] == " | ".join(texts[0])


def test_prefix_and_suffix_frame_every_text_that_is_encoded(
    blip: Path, images: NDArray[np.uint8], encode: Encode
) -> None:
    bare = loaded(blip).hypotheses(images)
    described = loaded(blip, prefix="oil on canvas, ", suffix=", 4k").describe(images)
    framed = [f"oil on canvas, {texts[0]}, 4k" for texts in bare]
    assert list(described.captions) == framed
    np.testing.assert_allclose(
        described.embeddings, np.stack([encode(text) for text in framed]), atol=1e-6
    )


def test_a_prompt_leads_the_caption_and_is_not_part_of_it(
    blip: Path, images: NDArray[np.uint8]
) -> None:
    led = loaded(blip, prompt="a photo of").hypotheses(images)
    assert led != loaded(blip).hypotheses(images)
    assert not any(texts[0].startswith("a photo of") for texts in led)


def test_a_caption_has_as_many_tokens_as_the_config_allows(
    blip: Path, images: NDArray[np.uint8]
) -> None:
    for prompt in ("", "a photo of"):
        captioner = loaded(blip, prompt=prompt, min_tokens=3, max_tokens=3)
        assert all(len(texts[0].split()) <= 3 for texts in captioner.hypotheses(images))


def test_an_image_whose_scores_overflow_gets_a_vector_that_says_so(
    blip: Path, images: NDArray[np.uint8]
) -> None:
    import torch

    captioner = loaded(blip)
    expected = captioner.embed(images)

    def overflow(_: object, __: object, output: tuple[torch.Tensor]) -> None:
        output[0][1] = torch.inf

    captioner._model.vision_model.register_forward_hook(overflow)
    vectors = captioner.embed(images)
    assert np.isnan(vectors[1]).all()
    np.testing.assert_allclose(vectors[[0, 2]], expected[[0, 2]], atol=1e-6)


def test_texts_are_encoded_in_float32_under_autocast(
    blip: Path, images: NDArray[np.uint8], encode: Encode
) -> None:
    import torch

    captioner = loaded(blip)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        described = captioner.describe(images)
    expected = np.stack([encode(text) for text in described.captions])
    np.testing.assert_allclose(described.embeddings, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (97, 61), (20, 45)])
def test_preprocessing_equals_the_librarys_own_on_pillow(
    blip: Path, size: tuple[int, int], check_preprocessing: Callable[..., None]
) -> None:
    check_preprocessing(blip, loaded(blip).preprocess, size)


@pytest.fixture
def older(blip: Path, tmp_path: Path) -> Path:
    """The same folder as older versions of the library wrote it, in a pickle of tensors."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "older"
    shutil.copytree(blip, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_folder_in_the_older_format_gives_the_same_vectors(
    blip: Path, older: Path, images: NDArray[np.uint8]
) -> None:
    assert loaded(older).embed(images).tobytes() == loaded(blip).embed(images).tobytes()


def test_a_hostile_pickle_in_the_older_format_is_not_executed(older: Path, tmp_path: Path) -> None:
    damage.plant_pickle(older / "pytorch_model.bin", tmp_path / "witness")
    with pytest.raises(PredictorError, match="older cannot be loaded"):
        loaded(older)
    assert not (tmp_path / "witness").exists()


def test_a_folder_without_an_encoder_is_refused_by_its_role(blip: Path, tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"^encoder: .* is not a sentence-transformers folder"):
        Blip.load(BlipConfig(), {"model": blip, "encoder": tmp_path}, device="cpu")


def test_another_kind_of_model_is_refused_and_the_adapter_for_it_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "git"}')
    with pytest.raises(PredictorError, match=r"'git'.*adapter 'captioner'"):
        Blip.load(BlipConfig(), {"model": tmp_path}, device="cpu")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"no config\.json"):
        Blip.load(BlipConfig(), {"model": tmp_path}, device="cpu")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"hypotheses": 4, "beams": 3}, "hypotheses = 4"),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens = 9"),
    ],
)
def test_an_impossible_search_is_refused(config: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        BlipConfig.model_validate(config)
