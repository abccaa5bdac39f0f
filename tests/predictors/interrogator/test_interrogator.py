"""A caption and CLIP's phrases against open_clip's own model, ranked by hand in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ensembler.errors import PredictorError
from ensembler.images.preprocess import Preprocess
from ensembler.predicting.contract import Described
from ensembler.predicting.definition import load_definition
from ensembler.store.encoder import load_encoder
from ensembler.testing.predictors import CaptionerConformance, Loadable
from predictors.blip.adapter import Blip
from predictors.blip.config import BlipConfig
from predictors.interrogator import adapter
from predictors.interrogator.adapter import Interrogator
from predictors.interrogator.clip import find_record, load_clip
from predictors.interrogator.config import ClipConfig, InterrogatorConfig
from predictors.interrogator.interrogation import Interrogation
from predictors.shared.openclip import openclip_preprocess
from predictors.shared.pixels import to_tensor

TINY = "tiny-clip"
SEARCH = {"beams": 2, "min_tokens": 2, "max_tokens": 5}
CONFIG: dict[str, Any] = {
    "captioner": {"adapter": "blip", "config": SEARCH},
    "clip": {"model": TINY, "tag": None},
    "phrases": {"mediums": 1, "artists": 1, "flavors": 3},
}

Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(blip: Path, clip_file: Path, vocabulary: Path) -> Files:
    return {"captioner_model": blip, "clip": clip_file, "vocabulary": vocabulary}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(7).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def load(files: Files, **config: object) -> Any:  # noqa: ANN401 - an Interrogation
    return Loadable(Interrogator, {**CONFIG, **config}, files, {}).load()


@pytest.fixture(scope="module")
def interrogator(files: Files) -> Any:  # noqa: ANN401 - an Interrogation
    return load(files)


def library(clip_file: Path) -> Any:  # noqa: ANN401 - of open_clip
    """The library's own model with the weights of the file."""
    model = open_clip.create_model(TINY)
    model.load_state_dict(load_file(clip_file))
    return model.eval()


def products(
    clip_file: Path, pixels: torch.Tensor, phrases: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cosines and inner products, (images, phrases), in float64."""
    model = library(clip_file)
    with torch.no_grad():
        seen = model.encode_image(pixels).double().numpy()
        said = model.encode_text(open_clip.get_tokenizer(TINY)(phrases)).double().numpy()
    raw = seen @ said.T
    lengths = np.linalg.norm(seen, axis=1)[:, None] * np.linalg.norm(said, axis=1)
    return raw / lengths, raw


class TestInterrogator(CaptionerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, files: Files) -> Loadable:
        named = {
            "clip": "visual.ln_pre.weight",
            "captioner_model": "vision_model.embeddings.class_embedding",
        }
        return Loadable(Interrogator, CONFIG, files, named)


def pixels_of(images: NDArray[np.uint8]) -> torch.Tensor:
    """CLIP's pixels of the 32-pixel images that the captioner needs."""
    from PIL import Image

    small = [Image.fromarray(i).resize((24, 24), Image.Resampling.BICUBIC) for i in images]
    wanted = openclip_preprocess(24, {}, TINY)
    return to_tensor(np.stack([np.asarray(i) for i in small]), wanted, "cpu")


def test_phrases_are_ranked_by_cosine_and_not_by_raw_products(
    files: Files, images: NDArray[np.uint8], vocabulary: Path
) -> None:
    interrogator = load(files, phrases={"flavors": 3})
    phrases = (vocabulary / "flavors.txt").read_text().splitlines()
    cosines, raw = products(files["clip"], pixels_of(images), phrases)
    captions = Blip.load(
        BlipConfig.model_validate(SEARCH), {"model": files["captioner_model"]}, device="cpu"
    ).describe(images)
    expected = [
        ", ".join([caption, *(phrases[p] for p in np.argsort(-row)[:3])])
        for caption, row in zip(captions.captions, cosines, strict=True)
    ]
    assert list(interrogator.describe(images).captions) == expected
    assert (np.argsort(-raw)[:, :3] != np.argsort(-cosines)[:, :3]).any()


def test_lists_are_joined_best_first_and_a_phrase_of_two_lists_stands_once(
    files: Files, images: NDArray[np.uint8], vocabulary: Path
) -> None:
    counts = {"flavors": 6, "mediums": 4}
    interrogator = load(files, phrases=counts)
    phrases = sorted(
        {p for name in counts for p in (vocabulary / f"{name}.txt").read_text().splitlines()}
    )
    cosines, _ = products(files["clip"], pixels_of(images), phrases)
    for caption, row in zip(interrogator.describe(images).captions, cosines, strict=True):
        assert caption.endswith(", " + ", ".join(phrases[p] for p in np.argsort(-row)))


def test_vectors_are_those_of_the_joined_texts(
    interrogator: Interrogation,
    images: NDArray[np.uint8],
    encode: Callable[[str], NDArray[np.float64]],
) -> None:
    described = interrogator.describe(images)
    assert all(text.count(", ") == 5 for text in described.captions)
    expected = np.stack([encode(text) for text in described.captions])
    np.testing.assert_allclose(described.embeddings, expected, atol=1e-6)
    assert interrogator.encoder_record == load_encoder().record


def test_image_and_text_vectors_equal_the_librarys(
    interrogator: Interrogation, files: Files, images: NDArray[np.uint8]
) -> None:
    pixels = pixels_of(images)
    clip = interrogator._clip
    model = library(files["clip"])
    with torch.no_grad():
        seen = model.encode_image(pixels, normalize=True).numpy()
        texts = open_clip.get_tokenizer(TINY)(["a photo", "Hokusai"])
        said = model.encode_text(texts, normalize=True).numpy()
    small = interrogator._resize(images, clip.preprocess)
    np.testing.assert_allclose(clip.images(small), seen, atol=1e-5)
    np.testing.assert_allclose(clip.texts(["a photo", "Hokusai"]), said, atol=1e-5)


def test_of_several_hypotheses_the_best_is_joined(
    interrogator: Interrogation, files: Files, images: NDArray[np.uint8]
) -> None:
    several = {"adapter": "blip", "config": {**SEARCH, "hypotheses": 2}}
    one = interrogator.describe(images).captions
    assert load(files, captioner=several).describe(images).captions == one


def test_images_come_at_the_larger_of_the_two_sizes(
    interrogator: Interrogation, images: NDArray[np.uint8]
) -> None:
    class Small:
        dim = 384
        preprocess = Preprocess(height=8, width=8, resize="squash", interpolation="bilinear")

        def describe(self, images: NDArray[np.uint8]) -> Described:
            assert images.shape[1:] == (8, 8, 3)
            return Described(np.zeros((len(images), 384), np.float32), ["a"] * len(images))

        def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return self.describe(images).embeddings

    assert interrogator.preprocess.height == 32  # BLIP's: CLIP takes 24
    clip = interrogator._clip
    other = Interrogation(Small(), clip, interrogator._ranking, interrogator._head)
    assert other.preprocess == clip.preprocess
    assert other.embed(images[:, :24, :24]).shape == (4, 384)


def test_a_vector_is_nan_where_clip_overflowed(
    interrogator: Interrogation, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = interrogator._clip.images

    def overflowed(images: NDArray[np.uint8]) -> torch.Tensor:
        seen = whole(images).clone()
        seen[1] = torch.nan
        return seen

    monkeypatch.setattr(interrogator._clip, "images", overflowed)
    finite = np.isfinite(interrogator.embed(images)).all(axis=1)
    assert finite.tolist() == [True, False, True, True]


def test_the_ranking_stays_in_float32_under_autocast(
    interrogator: Interrogation, images: NDArray[np.uint8]
) -> None:
    seen = interrogator._clip.images(interrogator._resize(images, interrogator._clip.preprocess))
    expected = interrogator._ranking.best(seen)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert interrogator._ranking.best(seen) == expected


def test_the_config_keeps_the_captioners_defaults() -> None:
    config = InterrogatorConfig.model_validate(CONFIG)
    assert config.captioner.config == BlipConfig.model_validate(SEARCH).model_dump(mode="json")


def test_the_captioners_files_are_roles_under_a_prefix() -> None:
    roles = Interrogator.roles
    assert {"clip", "vocabulary", "encoder", "captioner_model", "captioner_encoder"} <= set(roles)
    assert not any(role.startswith("captioner_captioner_") for role in roles)
    assert [role for role, of in roles.items() if of.required] == ["clip", "vocabulary"]


@pytest.mark.parametrize(
    ("captioner", "message"),
    [
        ({"adapter": "blib"}, "no predictor named 'blib'; did you mean 'blip'"),
        ({"adapter": "blip", "config": {"beam": 3}}, "no key named 'beam'; did you mean 'beams'"),
        ({"config": {}}, "captioner.adapter"),
    ],
)
def test_a_wrong_captioner_is_refused(
    files: Files, captioner: dict[str, Any], message: str
) -> None:
    with pytest.raises(PredictorError, match=message):
        load(files, captioner=captioner)


def test_a_captioner_without_its_files_is_refused(files: Files) -> None:
    del (files := dict(files))["captioner_model"]
    with pytest.raises(PredictorError, match=r"captioner_….*no file is given for model"):
        load(files)


def test_a_file_that_the_captioner_has_no_use_for_is_refused(files: Files) -> None:
    with pytest.raises(PredictorError, match="'captioner_weights'"):
        load({**files, "captioner_weights": files["clip"]})


def test_a_predictor_that_makes_no_texts_is_refused(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "load_predictor", lambda *_: object())
    with pytest.raises(PredictorError, match="makes vectors but no texts"):
        load(files)


def test_a_given_encoder_serves_the_captioner_too(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Files] = []

    def note(*arguments: Any) -> object:  # noqa: ANN401 - of load_predictor
        given.append(arguments[2])
        return object()

    monkeypatch.setattr(adapter, "load_predictor", note)
    with pytest.raises(PredictorError, match="makes vectors"):
        load({**files, "encoder": files["captioner_model"]})
    assert given[0]["encoder"] == files["captioner_model"]


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"model": "ViT-H14"}, "did you mean 'ViT-H-14'"),
        ({"model": "ViT-H-14", "tag": "laion2b"}, "no tag named 'laion2b'"),
        ({"model": "ViT-H-14", "tag": None}, "set the tag of yours, one of laion2b_s32b_b79k"),
        ({"model": "roberta-ViT-B-32", "tag": "laion2b_s12b_b32k"}, "hf_model_name"),
        ({"model": "coca_ViT-B-32", "tag": "laion2b_s13b_b90k"}, "multimodal_cfg"),
    ],
)
def test_a_clip_that_cannot_be_built_is_refused(
    files: Files, clip: dict[str, Any], message: str
) -> None:
    with pytest.raises(PredictorError, match=message):
        load(files, clip=clip)


@pytest.mark.parametrize(
    ("model", "tag"),
    [("ViT-H-14", "laion2b_s32b_b79k"), ("ViT-L-14", "laion2b_s32b_b82k"), ("ViT-L-14", "openai")],
)
def test_preprocessing_is_what_open_clip_records_for_the_tag(model: str, tag: str) -> None:
    architecture, recorded = find_record(ClipConfig(model=model, tag=tag))
    ours = openclip_preprocess(architecture["vision_cfg"]["image_size"], recorded, model)
    assert (ours.height, ours.width, ours.resize) == (224, 224, "crop")
    theirs = open_clip.get_pretrained_cfg(model, tag)
    assert (ours.mean, ours.std) == (theirs["mean"], theirs["std"])
    assert ours.interpolation == theirs["interpolation"]


def test_openais_activation_comes_with_the_tag(
    interrogator: Interrogation, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = interrogator._clip.texts(["Hokusai"])
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: ["openai"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {"quick_gelu": True})
    quick = load(files, clip={"model": TINY, "tag": "openai"})._clip.texts(["Hokusai"])
    library_quick = open_clip.create_model(TINY, force_quick_gelu=True)
    library_quick.load_state_dict(load_file(files["clip"]))
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(TINY)(["Hokusai"])
        theirs = library_quick.eval().encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(quick, theirs, atol=1e-5)
    assert np.abs(quick - plain).max() > 1e-4


@pytest.mark.parametrize("size", [(24, 24), (97, 61)])
def test_clips_preprocessing_equals_open_clips_on_pillow(
    clip_file: Path, size: tuple[int, int], noise: Callable[..., NDArray[np.uint8]]
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    from ensembler.images.resize import resized

    image = Image.fromarray(noise(count=1, size=97)[0, : size[0], : size[1]])
    wanted = load_clip(ClipConfig(model=TINY, tag=None), clip_file, "cpu").preprocess
    theirs = image_transform_v2(PreprocessCfg(size=24), is_train=False)(image)
    ours = to_tensor(resized(image, wanted)[None], wanted, "cpu")[0]
    assert (ours - theirs).abs().max() < 1e-6


def test_the_real_vocabularies_are_ranked_whole(
    files: Files, images: NDArray[np.uint8], shared: Path
) -> None:
    vocabulary = shared / "data" / "prompts" / "clip_interrogator"
    counts = {"artists": 2, "mediums": 1, "movements": 1}
    interrogator = load({**files, "vocabulary": vocabulary}, phrases=counts)
    pixels = pixels_of(images)
    for name, count in counts.items():
        lines = (vocabulary / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        phrases = list(dict.fromkeys(line.strip() for line in lines))
        cosines, _ = products(files["clip"], pixels, phrases)
        for text, row in zip(interrogator.describe(images).captions, cosines, strict=True):
            assert all(phrases[p] in text for p in np.argsort(-row)[:count])


def test_the_definition_in_the_adapters_docstring_is_one(tmp_path: Path) -> None:
    document = adapter.__doc__ or ""
    definition = 'adapter = "interrogator"\n' + document[document.index("[config]") :]
    (tmp_path / "interrogator.toml").write_text(definition, encoding="utf-8")
    assert load_definition(tmp_path / "interrogator.toml").files["clip"].endswith(".safetensors")
