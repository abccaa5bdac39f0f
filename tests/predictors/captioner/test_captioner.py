from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.errors import PredictorError
from ensembler.images.resize import resized
from ensembler.testing.predictors import CaptionerConformance, Loadable
from predictors.captioner.adapter import AnyCaptioner, CaptionerConfig
from predictors.shared.generating import ImageToText
from predictors.shared.hf import load_image_processor, preprocess_of

Saved = Callable[[str], Path]

SEARCH: dict[str, object] = {"beams": 3, "hypotheses": 2, "min_tokens": 2, "max_tokens": 6}
QUESTIONS = {"git": "what is it?", "blip2": "Question: what is it? Answer:", "florence2": "<OCR>"}
ALONE = {"git": None, "blip2": None, "florence2": ""}  # what each is told where nothing is asked
PROJECTION = "model.multi_modal_projector.image_projection.weight"
KINDS = list(QUESTIONS)


class TestGit(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, saved: Saved) -> Loadable:
        config = {**SEARCH, "question": QUESTIONS["git"], "prefix": "a drawing of "}
        return Loadable(AnyCaptioner, config, {"model": saved("git")}, {"model": "output.bias"})


class TestBlip2(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, saved: Saved) -> Loadable:
        return Loadable(AnyCaptioner, SEARCH, {"model": saved("blip2")}, {"model": "query_tokens"})


class TestFlorence2(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, saved: Saved) -> Loadable:
        config = {**SEARCH, "question": QUESTIONS["florence2"]}
        files = {"model": saved("florence2")}
        return Loadable(AnyCaptioner, config, files, {"model": PROJECTION})


def loaded(folder: Path, **config: object) -> ImageToText:
    whole = CaptionerConfig.model_validate(SEARCH | config)
    return AnyCaptioner.load(whole, {"model": folder}, device="cpu")


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    rng = np.random.default_rng(11)
    return rng.integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)


def batch_of(pictures: NDArray[np.uint8], captioner: ImageToText) -> NDArray[np.uint8]:
    from PIL import Image

    return np.stack([resized(Image.fromarray(one), captioner.preprocess) for one in pictures])


def captions_by_hand(
    kind: str, folder: Path, pictures: NDArray[np.uint8], question: str | None
) -> list[list[str]]:
    """Captions by the library alone, image by image, as each model's documentation prompts it."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder, backend="pil")  # type: ignore[no-untyped-call]
    model = AutoModelForImageTextToText.from_pretrained(folder)
    captions = []
    for picture in pictures:
        image = Image.fromarray(picture)
        if kind == "git" and question is not None:
            words = processor.tokenizer(question, add_special_tokens=False)["input_ids"]
            inputs = dict(processor(images=image, return_tensors="pt"))
            inputs["input_ids"] = torch.tensor([[processor.tokenizer.cls_token_id, *words]])
        else:
            inputs = dict(processor(images=image, text=question, return_tensors="pt"))
        tokens = model.generate(
            **inputs, num_beams=3, num_return_sequences=2, min_new_tokens=2, max_new_tokens=6
        )
        echo = 0 if question is None or kind == "florence2" else inputs["input_ids"].shape[1]
        texts = processor.tokenizer.batch_decode(tokens[:, echo:], skip_special_tokens=True)
        captions.append([text.strip() for text in texts])
    return captions


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_librarys_own_without_the_question(
    saved: Saved, pictures: NDArray[np.uint8], kind: str
) -> None:
    captioner = loaded(saved(kind), question=QUESTIONS[kind])
    texts = captioner.hypotheses(batch_of(pictures, captioner))
    assert texts == captions_by_hand(kind, saved(kind), pictures, QUESTIONS[kind])
    assert texts[0] != texts[1]


@pytest.mark.parametrize("kind", KINDS)
def test_captions_without_a_question_are_the_librarys_own(
    saved: Saved, pictures: NDArray[np.uint8], kind: str
) -> None:
    captioner = loaded(saved(kind))
    texts = captioner.hypotheses(batch_of(pictures, captioner))
    assert texts == captions_by_hand(kind, saved(kind), pictures, ALONE[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_in_half_precision_still_make_float32_vectors(
    saved: Saved, pictures: NDArray[np.uint8], kind: str
) -> None:
    captioner = loaded(saved(kind), dtype="bfloat16")
    vectors = captioner.embed(batch_of(pictures, captioner))
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(32, 32), (97, 61), (20, 45)])
def test_preprocessing_equals_the_librarys_own_on_pillow(
    saved: Saved, kind: str, size: tuple[int, int], check_preprocessing: Callable[..., None]
) -> None:
    wanted = preprocess_of(load_image_processor(saved(kind)), saved(kind))
    check_preprocessing(saved(kind), wanted, size)


def changed(folder: Path, copy: Path, part: str, **settings: object) -> Path:
    """A copy of a folder with other settings in a part of its processor's file."""
    shutil.copytree(folder, copy)
    file = copy / "processor_config.json"
    content = json.loads(file.read_text())
    (content[part] if part else content).update(settings)
    file.write_text(json.dumps(content))
    return copy


def test_a_processor_with_another_scale_is_expressed_in_mean_and_std(
    saved: Saved, tmp_path: Path
) -> None:
    settings = {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3}
    folder = changed(saved("blip2"), tmp_path / "scaled", "image_processor", **settings)
    wanted = loaded(folder).preprocess
    assert wanted.mean == pytest.approx((0.5, 0.5, 0.5))
    assert wanted.std == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"do_resize": False}, "'do_resize': False"),
        ({"do_center_crop": False}, "'do_center_crop': False"),
        ({"size": {"shortest_edge": 30}}, "'shortest_edge': 30"),
        ({"resample": 4}, "resample is 4"),
    ],
)
def test_a_processor_that_does_not_give_one_size_is_refused(
    saved: Saved, tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    folder = changed(saved("git"), tmp_path / "other", "image_processor", **settings)
    with pytest.raises(PredictorError, match=named):
        loaded(folder)


def test_a_processor_that_does_more_than_its_settings_say_is_refused(
    saved: Saved, tmp_path: Path
) -> None:
    settings = {"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True}
    folder = changed(saved("git"), tmp_path / "bgr", "image_processor", **settings)
    with pytest.raises(PredictorError, match="MobileViTImageProcessor does more than"):
        loaded(folder)


def test_a_question_that_the_processor_refuses_is_quoted(saved: Saved) -> None:
    with pytest.raises(PredictorError, match=r"prompt '<OCR> now'.*only content"):
        loaded(saved("florence2"), question="<OCR> now")


def test_a_prompt_in_which_nothing_stands_for_the_image_is_refused(
    saved: Saved, tmp_path: Path
) -> None:
    folder = changed(saved("blip2"), tmp_path / "blind", "", num_query_tokens=None)
    with pytest.raises(PredictorError, match="without seeing it"):
        loaded(folder, question="what is it?")


def test_a_model_that_makes_no_text_of_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(PredictorError, match=r"cannot be loaded.*BertConfig"):
        loaded(tmp_path)


def test_code_beside_the_weights_is_not_run(saved: Saved, tmp_path: Path) -> None:
    folder = shutil.copytree(saved("git"), tmp_path / "hostile")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'witness')!r}, 'w')")
    with pytest.raises(PredictorError, match="hostile"):
        loaded(folder)
    assert not (tmp_path / "witness").exists()
