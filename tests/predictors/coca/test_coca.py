"""The adapter `coca` on open_clip's own model and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from ensembler.errors import PredictorError
from ensembler.images.resize import resized
from ensembler.predicting.registry import find_adapter
from ensembler.store.encoder import load_encoder
from ensembler.testing.predictors import CaptionerConformance, Loadable
from predictors.coca.adapter import Coca
from predictors.coca.beams import Step
from predictors.coca.captioning import CocaCaptioner
from predictors.coca.config import CocaConfig
from predictors.shared.pixels import to_tensor
from predictors.shared.text import embed_texts

Files = dict[str, Path]

SEARCH: dict[str, Any] = {"beams": 3, "min_tokens": 2, "max_tokens": 6}


class TestBeams(CaptionerConformance):
    """Beam search, all hypotheses averaged."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, coca: Files) -> Loadable:
        config = {**SEARCH, "hypotheses": 3, "prefix": "a painting of "}
        return Loadable(Coca, config, coca, {"weights": "text_decoder.text_projection"})


class TestSampling(CaptionerConformance):
    """Top-k sampling: the best two of four texts."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, coca: Files) -> Loadable:
        config = {**SEARCH, "beams": 4, "hypotheses": 2, "sampling": {"top_k": 50, "seed": 3}}
        return Loadable(Coca, config, coca, {"weights": "visual.attn_pool.query"})


def load(coca: Files, files: Files | None = None, **config: object) -> CocaCaptioner:
    wanted = CocaConfig.model_validate({**SEARCH, **config})
    return Coca.load(wanted, coca if files is None else files, device="cpu")


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (4, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("sampling", [None, {"top_k": 20, "temperature": 1.5}])
def test_scores_are_those_of_the_librarys_forward_on_the_whole_text(
    coca: Files,
    coca_model: torch.nn.Module,
    images: NDArray[np.uint8],
    sampling: dict[str, Any] | None,
) -> None:
    captioner = load(coca, hypotheses=3, sampling=sampling)
    found = captioner.hypotheses(images)
    assert found[0][0].tokens != found[1][0].tokens
    transform = open_clip.image_transform(32, is_train=False)
    start, end = open_clip.tokenize("")[0, :2].tolist()
    for image, several in zip(images, found, strict=True):
        assert [one.score for one in several] == sorted((s.score for s in several), reverse=True)
        pixels = transform(Image.fromarray(image))[None]
        for one in several:
            whole = [start, *one.tokens, *[end][: 6 - len(one.tokens)]]
            with torch.no_grad():
                said = coca_model(pixels, torch.tensor([[*whole, 0]]))["logits"][0]
            logs = said.double().log_softmax(dim=-1).numpy()
            steps = [logs[place, token] for place, token in enumerate(whole[1:])]
            assert one.score == pytest.approx(np.mean(steps), abs=1e-5)


def test_captions_are_open_clips_decoding_and_vectors_the_mean_of_theirs(
    coca: Files, images: NDArray[np.uint8]
) -> None:
    captioner = load(coca, hypotheses=2, suffix=", 4k")
    texts = [
        [f"{open_clip.decode(torch.tensor(one.tokens)).strip()}, 4k" for one in several]
        for several in captioner.hypotheses(images)
    ]
    described = captioner.describe(images)
    assert list(described.captions) == [" | ".join(several) for several in texts]
    encoder = load_encoder()
    np.testing.assert_allclose(described.embeddings, embed_texts(encoder, texts), atol=1e-6)
    assert captioner.encoder_record == encoder.record


def test_a_checkpoint_of_open_clips_training_gives_the_same_texts(
    coca: Files, coca_model: torch.nn.Module, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    state = {f"module.{name}": tensor for name, tensor in coca_model.state_dict().items()}
    torch.save({"epoch": 1, "name": "tiny", "state_dict": state}, tmp_path / "epoch_1.pt")
    trained = load(coca, coca | {"weights": tmp_path / "epoch_1.pt"})
    assert trained.hypotheses(images) == load(coca).hypotheses(images)


def test_the_hubs_config_file_says_architecture_and_preprocessing(
    coca: Files, tmp_path: Path
) -> None:
    file = tmp_path / "open_clip_config.json"
    model = json.loads(coca["architecture"].read_text())
    said = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "size": 32}
    file.write_text(
        json.dumps({"model_cfg": model, "preprocess_cfg": {**said, "resize_mode": "squash"}})
    )
    wanted = load(coca, coca | {"architecture": file}).preprocess
    assert (wanted.mean, wanted.std) == ((0.5,) * 3, (0.25,) * 3)
    assert (wanted.interpolation, wanted.resize) == ("bilinear", "squash")
    assert load(coca).preprocess.mean == open_clip.OPENAI_DATASET_MEAN


@pytest.mark.parametrize("size", [(32, 32), (97, 61), (20, 45), (512, 512)])
def test_preprocessing_equals_open_clips_transform(coca: Files, size: tuple[int, int]) -> None:
    wanted = load(coca).preprocess
    noise = np.random.default_rng(3).integers(0, 256, (9, 7, 3), np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    theirs = open_clip.image_transform(32, is_train=False)(image)
    ours = to_tensor(resized(image, wanted)[None], wanted, "cpu")[0]
    assert torch.equal(ours, theirs)


def test_other_seeds_draw_other_texts(coca: Files, images: NDArray[np.uint8]) -> None:
    drawn = [
        load(coca, sampling={"top_k": 50, "seed": seed}).describe(images).captions
        for seed in (1, 2)
    ]
    assert drawn[0] != drawn[1]


def test_a_vector_is_nan_where_the_model_overflows(
    coca: Files, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = load(coca, hypotheses=2)
    expected = captioner.embed(images)
    read = captioner._step

    def overflowing(images: NDArray[np.uint8]) -> Step:
        def step(tokens: torch.Tensor) -> torch.Tensor:
            logits = read(images)(tokens)
            logits[:3] = torch.inf  # of the first image's beams
            return logits

        return step

    monkeypatch.setattr(captioner, "_step", overflowing)
    embedded = captioner.embed(images)
    assert np.isnan(embedded[0]).all()
    np.testing.assert_array_equal(embedded[1:], expected[1:])


def changed(coca: Files, folder: Path, part: str, **keys: object) -> Files:
    """The files, the architecture with other keys in one of its parts."""
    config = json.loads(coca["architecture"].read_text())
    config[part] = {**config[part], **keys}
    (folder / "changed.json").write_text(json.dumps(config))
    return coca | {"architecture": folder / "changed.json"}


@pytest.mark.parametrize(
    ("part", "keys", "sentence"),
    [
        ("text_cfg", {"hf_model_name": "roberta-base"}, r"text_cfg\.hf_model_name"),
        ("vision_cfg", {"timm_model_name": "vit_tiny"}, r"vision_cfg\.timm_model_name"),
        ("text_cfg", {"vocab_size": 512}, r"512 tokens, and open_clip's tokenizer 49408"),
        ("vision_cfg", {"no_such_key": 1}, "cannot be built by open_clip: .*no_such_key"),
        ("vision_cfg", {"layers": 1}, "weights are unexpected .visual.transformer.resblocks.1"),
    ],
)
def test_an_architecture_that_is_not_the_weights_own_is_refused(
    coca: Files, tmp_path: Path, part: str, keys: dict[str, object], sentence: str
) -> None:
    with pytest.raises(PredictorError, match=sentence):
        load(coca, changed(coca, tmp_path, part, **keys))


def test_a_model_of_another_kind_is_refused(coca: Files) -> None:
    weights = {"weights": coca["weights"]}
    with pytest.raises(PredictorError, match="did you mean 'coca_ViT-L-14'"):
        load(coca, weights, model="coca_ViT-L14")
    with pytest.raises(PredictorError, match=r"has no multimodal_cfg; .* are coca_ViT-B-32"):
        load(coca, weights, model="ViT-B-32")


def test_the_architecture_must_be_given_exactly_once(coca: Files) -> None:
    with pytest.raises(PredictorError, match="neither is given"):
        load(coca, {"weights": coca["weights"]})
    with pytest.raises(PredictorError, match="both are given"):
        load(coca, model="coca_ViT-B-32")


@pytest.mark.parametrize("content", ["", "[]", '{"model_cfg": 3}'])
def test_a_file_that_is_not_a_config_is_refused(coca: Files, tmp_path: Path, content: str) -> None:
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(PredictorError, match=r"odd\.json"):
        load(coca, coca | {"architecture": tmp_path / "odd.json"})


def test_images_on_a_border_are_refused(coca: Files, tmp_path: Path) -> None:
    model = json.loads(coca["architecture"].read_text())
    file = tmp_path / "open_clip_config.json"
    file.write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {"resize_mode": "longest"}}))
    with pytest.raises(PredictorError, match=r"preprocess_cfg: .*resize"):
        load(coca, coca | {"architecture": file})


def test_texts_longer_than_the_model_are_refused(coca: Files) -> None:
    with pytest.raises(PredictorError, match=r"max_tokens = 13, .* have 12 at most"):
        load(coca, max_tokens=13)


def test_it_comes_in_by_the_plug_in_door() -> None:
    assert find_adapter("coca") is Coca
