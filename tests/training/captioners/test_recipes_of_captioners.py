"""What recipes can say of towers, they can say of captioners too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ensembler.errors import InputError
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import Captioner
from tests.training.captioners.conftest import Case

Weights = dict[str, Any]


def moved(begun: Path, ended: Path) -> set[str]:
    """The names of what a training changed."""
    first, last = load_file(begun), load_file(ended)
    assert first.keys() == last.keys()
    return {name for name in first if not np.array_equal(first[name], last[name])}


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("blip", {"freeze": 0.5, "lora": {"share": 0.5, "rank": 2}, "precision": "bfloat16"}),
        ("blip", {"freeze": 1.0, "ema": 0.5}),
        ("coca", {"freeze": 0.5, "loss": {"tokens": 1.0, "ranking": 0.5, "cosine": 0.5}}),
        ("clip_gpt2", {"optimiser": {"name": "madgrad", "lr": 1e-2, "sam_rho": 0.05}}),
    ],
    ids=["lora-bfloat16", "decoder-alone", "weighted-sum", "sam"],
)
def test_the_adapter_loads_what_was_trained(
    request: pytest.FixtureRequest,
    train_case: Callable[..., Any],
    tmp_path: Path,
    name: str,
    keys: dict[str, Any],
) -> None:
    case: Case = request.getfixturevalue(name)
    (fold,) = train_case(case, **keys).folds
    files = {role: tmp_path / "out" / path for role, path in fold.result.files.items()}
    captioner = load_predictor(case.name, case.config, files)
    assert isinstance(captioner, Captioner)
    wants = captioner.preprocess
    image = np.zeros((1, wants.height, wants.width, 3), np.uint8)
    assert len(captioner.describe(image).captions) == 1


def test_the_lower_half_of_an_image_tower_is_frozen_with_its_places(
    coca: Case, train_case: Callable[..., Any], tmp_path: Path
) -> None:
    train_case(coca, epochs=1, freeze=0.5)
    names = moved(coca.weights["weights"], tmp_path / "out/fold0/last/open_clip_model.safetensors")
    tower = {name.removeprefix("visual.") for name in names if name.startswith("visual.")}
    blocks = {name for name in tower if name.startswith("transformer.resblocks.")}
    assert {name.split(".")[2] for name in blocks} == {"1"}
    assert {name.split(".")[0] for name in tower - blocks} == {"attn_pool", "ln_post"}
    assert not {name for name in names if name.startswith(("logit_scale", "text.text_proj"))}


def test_low_rank_updates_of_what_has_no_linear_layers_are_refused(
    clip_gpt2: Case, train_case: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match="lora updates linear layers"):
        train_case(clip_gpt2, lora={"share": 1.0, "rank": 2})
