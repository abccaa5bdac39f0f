"""The adapter `clip_gpt2` on open_clip's, transformers' and the mapper's own files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from ensembler.errors import PredictorError
from ensembler.predicting.registry import find_adapter
from ensembler.store.encoder import load_encoder
from ensembler.testing.predictors import CaptionerConformance, Loadable
from predictors.clip_gpt2.adapter import ClipGpt2
from predictors.clip_gpt2.captioning import PrefixCaptioner
from predictors.clip_gpt2.config import ClipGpt2Config, FrozenClipConfig, MapperConfig
from predictors.clip_gpt2.mapper import PrefixMapper
from predictors.shared.pixels import to_tensor

pytestmark = pytest.mark.usefixtures("tiny_timm")

Files = dict[str, Path]

MODEL = "vit_mini_patch4_clip_16.laion"
MAPPER: dict[str, Any] = {"prefix_tokens": 3, "feature_tokens": 2, "layers": 2, "heads": 2}
CONFIG: dict[str, Any] = {
    "tower": {"model": MODEL},
    "mapper": MAPPER,
    "beams": 3,
    "min_tokens": 2,
    "max_tokens": 7,
}
EMBEDDING = 12  # numbers in the tiny CLIP's


def make_mapper(features: int) -> PrefixMapper:
    torch.manual_seed(5)
    mapper = PrefixMapper(MapperConfig(**MAPPER), features, width=16)
    torch.nn.init.normal_(mapper.unfold.weight)
    mapper.train(mode=False)
    return mapper


def files_of(folder: Path, tower: Path, language: Path, features: int = EMBEDDING) -> Files:
    save_file(make_mapper(features).state_dict(), folder / "mapper.safetensors")
    return {"tower": tower, "mapper": folder / "mapper.safetensors", "language": language}


def load(files: Files, **config: object) -> PrefixCaptioner:
    wanted = ClipGpt2Config.model_validate({**CONFIG, **config}, strict=False)
    return ClipGpt2.load(wanted, files, device="cpu")


@pytest.fixture(scope="module")
def clip(make_clip: Callable[..., torch.nn.Module]) -> torch.nn.Module:
    return make_clip()


@pytest.fixture(scope="module")
def files(clip: torch.nn.Module, gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("clip_gpt2")
    save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    return files_of(folder, folder / "open_clip_model.safetensors", gpt2)


class TestClipGpt2(CaptionerConformance):
    """Three hypotheses, averaged; the tower from our own checkpoint."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(
        cls,
        write_tower: Callable[..., Path],
        gpt2: Path,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Loadable:
        tower = write_tower(FrozenClipConfig(model=MODEL), seed=1)
        return Loadable(
            ClipGpt2,
            {**CONFIG, "hypotheses": 3},
            files_of(tmp_path_factory.mktemp("mapper"), tower, gpt2),
            tensors={
                "tower": "tower.patch_embed.proj.weight",
                "mapper": "unfold.weight",
                "language": "transformer.h.0.ln_1.weight",
            },
        )


@pytest.mark.parametrize("normalise", [False, True])
def test_texts_are_those_of_the_libraries_one_image_after_the_other(
    files: Files,
    gpt2: Path,
    clip: torch.nn.Module,
    noise: Callable[..., NDArray[np.uint8]],
    normalise: bool,
) -> None:
    from transformers import AutoTokenizer, GPT2LMHeadModel

    ours = load(files, hypotheses=2, tower={"model": MODEL, "normalise_output": normalise})
    language = GPT2LMHeadModel.from_pretrained(gpt2)
    tokenizer = AutoTokenizer.from_pretrained(gpt2)
    mapper, images, expected = make_mapper(EMBEDDING), noise(4), []
    for image in images:
        pixels = to_tensor(image[None], ours.preprocess, "cpu")
        with torch.no_grad():
            prefix = mapper(clip.encode_image(pixels, normalize=normalise))
        tokens = language.generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(1, 3, dtype=torch.long),
            num_beams=3,
            num_return_sequences=2,
            min_new_tokens=2,
            max_new_tokens=7,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        expected.append(" | ".join(text.strip() for text in texts))
    captions = ours.describe(images).captions
    assert list(captions) == expected
    assert ours.encoder_record == load_encoder().record
    assert len(set(captions)) > 1


def test_a_vector_is_nan_where_the_prefix_overflows(
    files: Files, noise: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner, images = load(files), noise(3)
    expected = captioner.embed(images)
    mapper = captioner._mapper

    def overflowing(features: torch.Tensor) -> torch.Tensor:
        prefix = mapper(features)
        prefix[1, 0, 0] = torch.inf
        return prefix

    monkeypatch.setattr(captioner, "_mapper", overflowing)
    embedded = captioner.embed(images)
    assert np.isnan(embedded[1]).all()
    np.testing.assert_array_equal(embedded[[0, 2]], expected[[0, 2]])


def test_a_vector_is_nan_where_the_language_model_overflows_itself(
    files: Files, noise: Callable[..., NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner, images = load(files), noise(3)
    expected = captioner.embed(images)
    language = captioner._language
    forward = language.forward

    def overflowing(*args: object, **kwargs: object) -> Any:  # noqa: ANN401 - of transformers
        out = forward(*args, **kwargs)
        beams = len(out.logits) // len(images)
        out.logits[beams : 2 * beams] = torch.nan  # every beam of the second image
        return out

    monkeypatch.setattr(language, "forward", overflowing)
    embedded = captioner.embed(images)
    assert np.isnan(embedded[1]).all()
    np.testing.assert_array_equal(embedded[[0, 2]], expected[[0, 2]])


def test_a_folder_without_its_tokenizer_is_refused(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    shutil.copytree(files["language"], folder, ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(PredictorError, match=r"knows \d+ tokens and the tokenizer 1: save"):
        load(files | {"language": folder})


def test_a_mapper_of_another_shape_is_refused(files: Files) -> None:
    with pytest.raises(PredictorError, match=r"queries \(3, 16\) instead of \(4, 16\)"):
        load(files, mapper={**MAPPER, "prefix_tokens": 4})


def test_texts_longer_than_the_model_are_refused(files: Files) -> None:
    with pytest.raises(PredictorError, match=r"max_tokens = 25, but .* is 24 tokens"):
        load(files, max_tokens=22)


def test_a_tower_that_is_not_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        ClipGpt2Config.model_validate({"tower": {"model": "convnext_mini.clip"}})


def test_it_comes_in_by_the_plug_in_door() -> None:
    assert find_adapter("clip_gpt2") is ClipGpt2
