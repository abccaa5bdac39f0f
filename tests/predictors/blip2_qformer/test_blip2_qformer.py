"""BLIP-2 without its language model against the whole model, in folders of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import (
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    BlipImageProcessor,
)

from ensembler.errors import PredictorError
from ensembler.predicting.contract import Predictor
from ensembler.testing.predictors import Loadable, PredictorConformance
from predictors.blip2_qformer.adapter import Blip2QFormer
from predictors.blip2_qformer.config import Blip2QFormerConfig
from predictors.blip2_qformer.model import Blip2QFormerModel
from predictors.shared.pixels import to_tensor
from tests.tiny_models import BLIP_SIDE, save_blip2

TENSOR = "vision_model.embeddings.class_embedding"
NO_HEAD: dict[str, Any] = {"head": {"kind": "none"}}
HEAD: dict[str, Any] = {"head": {"kind": "wide", "dim": 9, "hidden": [12]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip2(tmp_path_factory.mktemp("blip2") / "blip2")


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (3, BLIP_SIDE, BLIP_SIDE, 3), dtype=np.uint8)


def load(files: dict[str, Path], **config: object) -> Predictor:
    return Loadable(Blip2QFormer, config, files, {}).load()


def save_checkpoint(folder: Path, path: Path, config: dict[str, Any]) -> Path:
    """Write a checkpoint as training does: other weights than the folder's, and a head."""
    torch.manual_seed(8)
    model = Blip2QFormerModel(Blip2QFormerConfig.model_validate(config, strict=False), folder)
    torch.nn.init.normal_(model.tower.query_tokens)
    save_file(model.state_dict(), path)
    return path


def answers_by_hand(folder: Path, images: NDArray[np.uint8]) -> torch.Tensor:
    """The query vectors, (n, queries, width), of the whole model with its language model."""
    model = Blip2ForConditionalGeneration.from_pretrained(folder)
    preprocess = load({"model": folder}, **NO_HEAD).preprocess
    with torch.no_grad():
        features = model.get_image_features(to_tensor(images, preprocess, "cpu"), return_dict=True)
    return features.qformer_outputs.last_hidden_state


class TestWholeModelsFolder(PredictorConformance):
    """The tower of a folder with a language model in it, in shards."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, folder: Path) -> Loadable:
        return Loadable(Blip2QFormer, NO_HEAD, {"model": folder}, {"model": TENSOR})


class TestOurCheckpoint(PredictorConformance):
    """Tower and head as training writes them."""

    @pytest.fixture(scope="class")
    @classmethod
    def loadable(cls, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Loadable:
        path = tmp_path_factory.mktemp("blip2") / "fold0.safetensors"
        config = {**HEAD, "pooling": "first", "normalise_output": True}
        files = {"model": folder, "weights": save_checkpoint(folder, path, config)}
        return Loadable(Blip2QFormer, config, files, {"weights": "head.3.weight"})


def test_query_vectors_are_bit_for_bit_those_of_the_whole_model(
    folder: Path, images: NDArray[np.uint8]
) -> None:
    answers = answers_by_hand(folder, images)
    first = load({"model": folder}, **NO_HEAD, pooling="first").embed(images)
    assert first.tobytes() == answers[:, 0].contiguous().numpy().tobytes()
    assert answers.std(1).min() > 1e-3  # queries differ, so that pooling matters


def test_queries_are_pooled_by_their_mean(folder: Path, images: NDArray[np.uint8]) -> None:
    answers = answers_by_hand(folder, images).double().numpy()
    vectors = load({"model": folder}, **NO_HEAD).embed(images)
    np.testing.assert_allclose(vectors, answers.mean(axis=1), atol=1e-5)


def test_the_head_stands_on_the_pooled_queries(
    folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = save_checkpoint(folder, tmp_path / "fold0.safetensors", HEAD)
    state = {name: t.double().numpy() for name, t in load_file(path).items()}
    bare = save_checkpoint(folder, tmp_path / "bare.safetensors", NO_HEAD)
    save_file({n: t for n, t in load_file(path).items() if n.startswith("tower.")}, bare)
    pooled = load({"model": folder, "weights": bare}, **NO_HEAD).embed(images)
    # BatchNorm's running mean and variance are those of its start, 0 and 1.
    hidden = pooled @ state["head.0.weight"].T + state["head.0.bias"]
    hidden = np.maximum(hidden / np.sqrt(1 + 1e-5), 0)
    expected = hidden @ state["head.3.weight"].T + state["head.3.bias"]
    vectors = load({"model": folder, "weights": path}, **HEAD).embed(images)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (97, 61)])
def test_preprocessing_equals_the_librarys_own_on_pillow(
    folder: Path, size: tuple[int, int], check_preprocessing: Callable[..., None]
) -> None:
    check_preprocessing(folder, load({"model": folder}, **NO_HEAD).preprocess, size)


def test_a_model_for_retrieval_gives_its_image_side(
    tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    whole = save_blip2(tmp_path / "itm", Blip2ForImageTextRetrieval)
    vectors = load({"model": whole}, **NO_HEAD).embed(images)
    model = Blip2ForImageTextRetrieval.from_pretrained(whole)
    pixels = to_tensor(images, load({"model": whole}, **NO_HEAD).preprocess, "cpu")
    with torch.no_grad():
        patches = model.vision_model(pixels).last_hidden_state
        queries = model.query_tokens.expand(len(images), -1, -1)
        answers = model.qformer(query_embeds=queries, encoder_hidden_states=patches)
    np.testing.assert_allclose(vectors, answers.last_hidden_state.mean(1), atol=1e-5)


def test_a_single_file_is_read_as_its_shards_are(
    folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    model = Blip2ForConditionalGeneration.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    BlipImageProcessor.from_pretrained(folder).save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors.index.json").exists()
    ours = load({"model": tmp_path}, **NO_HEAD).embed(images)
    assert ours.tobytes() == load({"model": folder}, **NO_HEAD).embed(images).tobytes()


def test_a_checkpoint_needs_no_weights_in_the_folder(
    folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = save_checkpoint(folder, tmp_path / "fold0.safetensors", HEAD)
    files = {"model": tmp_path, "weights": weights}
    assert load(files, **HEAD).embed(images).shape == (3, 9)


def test_a_head_without_a_checkpoint_is_refused(folder: Path) -> None:
    with pytest.raises(PredictorError, match="the config has a head of kind 'wide'"):
        load({"model": folder}, **HEAD)


def test_a_checkpoint_whose_head_is_not_asked_for_is_refused(folder: Path, tmp_path: Path) -> None:
    weights = save_checkpoint(folder, tmp_path / "fold0.safetensors", HEAD)
    with pytest.raises(PredictorError, match=r"unexpected \(head\."):
        load({"model": folder, "weights": weights}, **NO_HEAD)


def test_a_missing_shard_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model-00002-of-00005.safetensors").unlink()
    with pytest.raises(PredictorError, match=r"model-00002-of-00005\.safetensors cannot be read"):
        load({"model": tmp_path}, **NO_HEAD)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}'])
def test_a_broken_index_is_refused(folder: Path, tmp_path: Path, content: str) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(PredictorError, match="is not an index of weights"):
        load({"model": tmp_path}, **NO_HEAD)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "git"}))
    with pytest.raises(PredictorError, match="type 'git', not a BLIP-2"):
        load({"model": tmp_path}, **NO_HEAD)


def test_a_folder_without_an_image_processor_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(PredictorError, match="AutoImageProcessor"):
        load({"model": tmp_path}, **NO_HEAD)
