"""Predictors whose checkpoints are loaded with files that no fold has trained."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ensembler.errors import InputError
from ensembler.predicting.checkpoints import file_digest
from tests.tiny_models import register_timm, save_blip2

HEAD = {"head": {"kind": "linear", "dim": 6}}
STYLE = {
    "model": "vit_mini_patch4_clip_16.laion",
    "style_model": "convnext_mini.clip",
    "image_size": 32,
    **HEAD,
}


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a whole BLIP-2."""
    return save_blip2(tmp_path_factory.mktemp("blip2"))


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a ConvNeXt."""
    register_timm()
    torch.manual_seed(6)
    path = tmp_path_factory.mktemp("style") / "convnext.safetensors"
    save_file(timm.create_model("convnext_mini.clip").state_dict(), path)
    return path


def beside(out: Path, role: str) -> set[str]:
    """The names that the definition has for a role, of all folds."""
    definition = tomllib.loads((out / "predictor.toml").read_text())
    return {one[role] for one in definition["checkpoints"]}


def test_all_folds_share_one_copy_of_the_convnext(
    train_here: Callable[..., Any], style: Path, tmp_path: Path
) -> None:
    options = {"weights": {"style": style}}
    train_here(name="style_metric", fold="all", config=STYLE, epochs=1, options=options)
    (name,) = beside(tmp_path / "out", "style")
    assert file_digest(tmp_path / "out" / name) == file_digest(style)
    trained = load_file(tmp_path / "out/fold1/best.safetensors")
    assert {key.split(".")[0] for key in trained} == {"tower", "head"}


def test_beside_a_blip2s_checkpoints_stands_what_they_are_of_and_no_weight(
    train_here: Callable[..., Any], blip2: Path, tmp_path: Path
) -> None:
    options = {"weights": {"model": blip2}}
    train_here(name="blip2_qformer", config=HEAD, epochs=1, options=options)
    (name,) = beside(tmp_path / "out", "model")
    kept = {path.name for path in (tmp_path / "out" / name).iterdir()}
    assert kept == {"config.json", "preprocessor_config.json"}


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("style_metric", STYLE, "--weights style=PATH"),
        ("blip2_qformer", HEAD, "--weights model=PATH"),
    ],
)
def test_what_must_be_given_is_asked_for(
    train_here: Callable[..., Any], name: str, config: dict[str, Any], said: str
) -> None:
    register_timm()
    with pytest.raises(InputError, match=said):
        train_here(name=name, config=config)
