"""A fold's training: what moves, what is drawn, what is written, and that it scores as it says."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from ensembler.errors import InputError, PredictorError
from ensembler.images.decode import decode
from ensembler.store.model import EncoderRecord
from ensembler.training.run import find_trainer
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training import loading, loop, targets
from predictors.shared.training.losses import loss_of
from predictors.tower.adapter import VisionTower

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]

DIM = 6
AUGMENT = {"scale": [0.5, 1.0]}
WARM = {"epochs": 1, "lr": 1e-2}


def config(model: str = "test_vit.r160_in1k", **head: object) -> dict[str, object]:
    wanted = {"kind": "linear", "dim": DIM} | head
    return {"model": model, "image_size": 32, "head": wanted}


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / f"{name}.safetensors")
    return found


def test_a_trained_predictor_dumps_the_member_that_its_scores_promise(
    train_here: Callable[..., Any], check_promised: Callable[..., None]
) -> None:
    report = train_here(fold="all", augment=AUGMENT)
    check_promised(report, [f"prompt {number}" for number in range(15)])


def test_what_is_held_out_is_never_learned_from(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[str] = []

    def watched(path: Path) -> Image.Image:
        learned.append(path.name)
        return decode(path)

    monkeypatch.setattr(loading, "decode", watched)
    train_here(fold=1, epochs=6)
    judged = [name for name in learned if int(name.split("_")[0]) % 3 == 1]
    assert sorted(set(judged)) == ["10_0.png", "13_0.png", "1_0.png", "4_0.png", "7_0.png"]
    assert len(judged) == 5 * 6  # each once an epoch, to be judged
    others = set(learned) - set(judged)
    assert {int(name.split("_")[0]) % 3 for name in others} == {0, 2}
    assert {"3_0.png", "3_1.png", "9_0.png", "9_1.png"} <= others  # every image has its turn


@pytest.mark.parametrize("model", ["test_vit.r160_in1k", "test_resnet.r160_in1k"])
def test_a_warm_up_moves_the_head_alone(
    train_here: Callable[..., Any], after_each_step: list[dict[str, torch.Tensor]], model: str
) -> None:
    train_here(config=config(model), epochs=2, warmup=WARM)
    first, warm, last = after_each_step[0], after_each_step[2], after_each_step[-1]
    moved = {name for name in first if not torch.equal(first[name], warm[name])}
    assert moved == {"head.weight"}
    assert {name.split(".")[0] for name in first if not torch.equal(warm[name], last[name])} == {
        "head",
        "tower",
    }


def test_the_average_is_what_is_written(
    train_here: Callable[..., Any],
    after_each_step: list[dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    train_here(ema=0.75)
    written = weights(tmp_path / "out/fold0")
    for name, average in after_each_step[0].items():
        wanted = average.double()
        for later in after_each_step[1:]:
            wanted = 0.75 * wanted + 0.25 * later[name].double()
        torch.testing.assert_close(written[name].double(), wanted, rtol=1e-5, atol=1e-7)


def test_a_batch_in_parts_is_the_same_batch(
    train_here: Callable[..., Any], losses: Callable[..., list[float]], tmp_path: Path
) -> None:
    train_here(out="whole")
    train_here(out="parts", accumulate=2)
    whole, parts = losses(tmp_path / "whole/fold0"), losses(tmp_path / "parts/fold0")
    assert whole == pytest.approx(parts, rel=1e-5)
    assert whole[-1] < whole[0]


@pytest.mark.parametrize("loss", ["ranking", "info_nce"])
def test_a_contrastive_loss_falls(
    train_here: Callable[..., Any],
    losses: Callable[..., list[float]],
    tmp_path: Path,
    loss: str,
) -> None:
    train_here(loss={loss: 1.0}, epochs=8, optimiser={"name": "madgrad", "lr": 1e-2})
    trace = losses(tmp_path / "out/fold0")
    assert np.mean(trace[-4:]) < np.mean(trace[:4])


def test_best_is_of_the_best_epoch_and_last_of_the_last(
    train_here: Callable[..., Any],
    after_each_step: list[dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    report = train_here(epochs=4, optimiser={"name": "adamw", "lr": 0.3})
    result = report.folds[0].result
    assert result.best_score == max(result.scores)
    of_epoch = after_each_step[2::2]
    for name, wanted in (("best", of_epoch[result.best_epoch]), ("last", of_epoch[-1])):
        written = weights(tmp_path / "out/fold0", name)
        assert all(torch.equal(written[key], wanted[key]) for key in wanted)


def test_a_second_stage_begins_with_the_best_of_the_same_fold(
    train_here: Callable[..., Any],
    after_each_step: list[dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    train_here(out="one", fold=2)
    after_each_step.clear()
    train_here(out="two", fold=2, options={"weights": tmp_path / "one"})
    best = weights(tmp_path / "one/fold2", "best")
    assert all(torch.equal(after_each_step[0][key], best[key]) for key in best)
    with pytest.raises(
        InputError, match=r"with the weights of digest [0-9a-f]{64}, but this one has none"
    ):
        train_here(out="two", fold=2)
    with pytest.raises(InputError, match=r"no weights .*fold0"):
        train_here(out="three", fold=0, options={"weights": tmp_path / "one"})


@pytest.mark.parametrize("name", ["clip_vit", "convnext", "eva02", "tower"])
def test_every_tower_can_be_trained(name: str) -> None:
    adapter = find_trainer(name)
    assert adapter.train.__func__ is VisionTower.train.__func__  # type: ignore[attr-defined]  # of classmethods
    assert issubclass(adapter.Config, TowerConfig)


def test_a_bare_tower_gets_a_new_head(
    train_here: Callable[..., Any],
    after_each_step: list[dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    import timm

    torch.manual_seed(8)
    bare = timm.create_model("test_convnext.r160_in1k").state_dict()
    torch.save(bare, tmp_path / "bare.pt")
    options = {"weights": tmp_path / "bare.pt"}
    train_here(config=config("test_convnext.r160_in1k"), options=options)
    begun = after_each_step[0]
    towers = [name for name in begun if name.startswith("tower.")]
    assert all(torch.equal(begun[name], bare[name.removeprefix("tower.")]) for name in towers)
    assert begun["head.weight"].shape[0] == DIM


def test_what_no_vector_depends_on_stays_as_it_is(
    train_here: Callable[..., Any], after_each_step: list[dict[str, torch.Tensor]]
) -> None:
    train_here(config=config("test_vit3.r160_in1k") | {"features": "mean"})
    first, last = after_each_step[0], after_each_step[-1]
    still = {name for name in first if torch.equal(first[name], last[name])}
    assert still == {name for name in first if name.startswith("tower.attn_pool.")}
    assert still


@pytest.mark.parametrize(
    ("keys", "error", "said"),
    [
        ({"batch": 11}, InputError, "leaves 10 prompts to learn from, fewer than a batch of 11"),
        ({"config": config(dim=5)}, PredictorError, "have 5 numbers, and the targets 6"),
        ({"precision": "float16"}, InputError, "float16 needs a GPU; set --precision float32"),
        ({"options": {"precision": "float8"}}, InputError, "no precision named 'float8'"),
        ({"predictor": "eva02"}, InputError, "written for 'eva02', not for 'tower': train eva02"),
        ({"fold": 9}, InputError, "the data has folds 0, 1, 2"),
        ({"name": "retrieval"}, PredictorError, "cannot be trained; those that can: b"),
        ({"name": "towr"}, PredictorError, "did you mean 'tower'?"),
        ({"config": config() | {"modle": "x"}}, PredictorError, "did you mean 'model'?"),
        ({"options": {"processes": 2}}, InputError, "1 processes run, not 2"),
    ],
)
def test_what_does_not_go_together_is_refused(
    train_here: Callable[..., Any], keys: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        train_here(**keys)
    assert said in str(refused.value)


def test_the_precision_asked_for_is_the_recipes_and_in_its_digest(
    train_here: Callable[..., Any],
) -> None:
    plain = train_here(out="plain").folds[0]
    asked = train_here(precision="float16", options={"precision": "float32"}).folds[0]
    half = train_here(out="half", options={"precision": "bfloat16"}).folds[0]
    assert asked.recipe["precision"] == "float32"
    assert asked.digests["recipe"] == plain.digests["recipe"] != half.digests["recipe"]
    assert half.recipe["precision"] == "bfloat16"


def test_a_recipe_may_name_its_predictor(train_here: Callable[..., Any]) -> None:
    named = train_here(predictor="tower").folds[0]
    assert named.digests["recipe"] == train_here(out="free").folds[0].digests["recipe"]


def test_a_warm_up_without_a_head_is_refused(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wide(NamedTuple):
        """An encoder to the width of the tower's features."""

        record: EncoderRecord = EncoderRecord(name="wide", sha256="2" * 64)

        def encode(self, texts: Sequence[str]) -> Vectors:
            return np.ones((len(texts), 64), np.float32)

    monkeypatch.setattr(targets, "load_encoder", lambda _: Wide())
    with pytest.raises(
        InputError,
        match="warmup and freeze = 1 train the head alone, and this predictor has none",
    ):
        train_here(config=config() | {"head": {"kind": "none"}}, warmup=WARM)


def test_a_loss_that_is_no_number_stops_with_its_images(train_here: Callable[..., Any]) -> None:
    with pytest.raises(
        InputError, match=r"the loss of step \d, epoch 0, is nan; its images are"
    ) as stop:
        train_here(optimiser={"name": "adamw", "lr": 1e30})
    assert str(stop.value).count(".png") == 4


@pytest.fixture
def _float16_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU train in float16, which it can, slowly."""
    monkeypatch.setattr(loop, "join_processes", lambda _: Accelerator(cpu=True))


def logged(folder: Path, key: str) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line[key] for line in lines if key in line]


@pytest.mark.usefixtures("_float16_here")
def test_a_step_that_float16_cannot_take_is_logged_and_the_next_one_is_scaled_less(
    train_here: Callable[..., Any],
    after_each_step: list[dict[str, torch.Tensor]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    factors = iter([np.inf])

    def once_too_large(vectors: torch.Tensor, *given: Any) -> torch.Tensor:  # noqa: ANN401 - passed on
        if vectors.requires_grad and len(vectors) > 1:
            factor = next(factors, 1.0)
            vectors.register_hook(lambda gradient: gradient * factor)
        return loss_of(vectors, *given)

    monkeypatch.setattr("predictors.shared.training.tasks.loss_of", once_too_large)
    steps = {"name": "adamw", "lr": 1e-3, "lr_end": 1e-3}
    train_here(precision="float16", optimiser=steps, epochs=4)
    skipped = logged(tmp_path / "out/fold0", "skipped")
    assert skipped[0]
    assert not skipped[-1]
    scales = logged(tmp_path / "out/fold0", "scale")
    assert scales[0] == 2.0**16
    for scale, after, out in zip(scales, scales[1:], skipped, strict=False):
        assert after == (scale / 2 if out else scale)
    weight = [seen["head.weight"] for seen in after_each_step]
    assert [torch.equal(*pair) for pair in pairwise(weight)] == skipped


@pytest.mark.parametrize("sam", [{}, {"sam_rho": 0.05}])
@pytest.mark.usefixtures("_float16_here")
def test_gradients_that_no_scale_makes_numbers_stop_with_the_images(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, sam: dict[str, float]
) -> None:
    def never_a_number(vectors: torch.Tensor, *given: Any) -> torch.Tensor:  # noqa: ANN401 - passed on
        if vectors.requires_grad:
            vectors.register_hook(lambda gradient: gradient * torch.nan)
        return loss_of(vectors, *given)

    monkeypatch.setattr("predictors.shared.training.tasks.loss_of", never_a_number)
    optimiser = {"name": "adamw", "lr": 1e-3} | sam
    with pytest.raises(
        InputError,
        match=r"the gradients of step 27, epoch 13, are not finite in float16, even with a scale of"
        r" 0\.000976562; its images are .* set --precision float32 or bfloat16 and another --out",
    ) as stop:
        train_here(precision="float16", optimiser=optimiser, epochs=14)
    assert str(stop.value).count(".png") == 4


def test_other_precisions_log_no_scale(train_here: Callable[..., Any], tmp_path: Path) -> None:
    train_here(precision="bfloat16")
    assert not logged(tmp_path / "out/fold0", "scale")
    assert not logged(tmp_path / "out/fold0", "skipped")


def test_an_image_that_cannot_be_read_is_named(
    train_here: Callable[..., Any], images: Path, tmp_path: Path
) -> None:
    others = tmp_path / "images"
    shutil.copytree(images, others)
    (others / "4_0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"4_0.png is not a valid PNG"):
        train_here(options={"images": others})


def test_a_package_that_training_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "peft" else find(name)
    )
    with pytest.raises(PredictorError, match=r"training needs peft: pip install .*\[training\]"):
        find_trainer("tower")
