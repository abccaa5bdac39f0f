"""Captioners learn their prompts token by token; what they then say is judged, and dumped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ensembler.errors import InputError, PredictorError
from ensembler.predicting.checkpoints import file_digest
from ensembler.predicting.definition import load_definition
from tests.training.captioners.conftest import Case

COCA_LOSS = {"tokens": 2.0, "info_nce": 1.0}
# Adam would make steps of the rounding errors of gradients that are zero.
STEADY = {"name": "madgrad", "lr": 1e-3}


class Died(BaseException):
    """Stands for a death at a moment that the test chooses."""


def dies_at(step: int, steps: int) -> Callable[[str, int, int], None]:
    def progress(stage: str, done: int, total: int) -> None:
        if stage.endswith("training") and done * steps == step * total:
            raise Died

    return progress


def lines(folder: Path) -> list[dict[str, float]]:
    return list(map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()))


def test_a_trained_captioner_says_what_its_score_promises(
    case: Case,
    train_case: Callable[..., Any],
    losses: Callable[[Path], list[float]],
    prompts: list[str],
    check_promised: Callable[..., None],
    tmp_path: Path,
) -> None:
    report = train_case(case, fold="all", epochs=4)
    trace = losses(tmp_path / "out/fold0")
    assert np.mean(trace[-2:]) < np.mean(trace[:2])
    held_out = [line["nll"] for line in lines(tmp_path / "out/fold0") if "nll" in line]
    assert len(held_out) == 4
    assert held_out[-1] < held_out[0]
    check_promised(report, prompts)


def test_nothing_is_said_beside_the_progress(
    clip_gpt2: Case, train_case: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    train_case(clip_gpt2, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_killed_at_any_step_it_goes_on_bit_for_bit(
    case: Case, train_case: Callable[..., Any], tmp_path: Path
) -> None:
    whole = train_case(case, out="whole", ema=0.5)
    for step in (1, 3):
        with pytest.raises(Died):
            train_case(case, ema=0.5, options={"progress": dies_at(step, 4), "save_steps": 1})
    assert train_case(case, ema=0.5).folds == whole.folds
    for name in ("best", "last", "metrics.jsonl", "record.json"):
        ours, theirs = (file_digest(tmp_path / out / "fold0" / name) for out in ("out", "whole"))
        assert ours == theirs, name
    assert not list((tmp_path / "out/fold0").glob(".*"))


def test_a_batch_of_captions_in_parts_is_the_same_batch(
    blip: Case, train_case: Callable[..., Any], losses: Callable[..., list[float]], tmp_path: Path
) -> None:
    train_case(blip, out="whole", optimiser=STEADY)
    train_case(blip, out="parts", optimiser=STEADY, accumulate=2)
    whole, parts = losses(tmp_path / "whole/fold0"), losses(tmp_path / "parts/fold0")
    assert whole == pytest.approx(parts, rel=1e-5)


def test_two_processes_learn_the_captions_that_one_learns(
    coca: Case,
    train_case: Callable[..., Any],
    losses: Callable[[Path], list[float]],
    train_in_two: Callable[..., dict[str, Any]],
    described: Path,
    tmp_path: Path,
) -> None:
    train_case(coca, out="one", loss=COCA_LOSS, optimiser=STEADY, epochs=1)
    assert train_in_two("coca", described, coca.weights)["processes"] == 2
    one, two = (tmp_path / out / "fold0" for out in ("one", "two"))
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    for name in ("nll", "mean_cosine"):
        assert lines(two)[-1][name] == pytest.approx(lines(one)[-1][name], rel=1e-4), name
    weights = "last/open_clip_model.safetensors"
    ours, theirs = load_file(one / weights), load_file(two / weights)
    for name, weight in ours.items():
        assert theirs[name] == pytest.approx(weight, abs=1e-4), name


def test_what_is_not_to_learn_stays_as_it_was(
    clip_gpt2: Case, train_case: Callable[..., Any], tmp_path: Path
) -> None:
    train_case(clip_gpt2, freeze=0.5)  # the lower of two blocks
    begun = load_file(clip_gpt2.weights["language"] / "model.safetensors")
    ended = load_file(tmp_path / "out/fold0/last/language/model.safetensors")
    moved = {name for name in begun if not np.array_equal(begun[name], ended[name])}
    assert {name.split(".h.")[-1][0] for name in moved if ".h." in name} == {"1"}
    assert {name for name in moved if ".h." not in name} == {
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
    }
    (tower,) = (tmp_path / "out").glob("tower-*.safetensors")
    assert tower.read_bytes() == clip_gpt2.weights["tower"].read_bytes()


def test_a_warm_up_of_a_prefix_captioner_moves_the_mapper_alone(
    clip_gpt2: Case, train_case: Callable[..., Any], tmp_path: Path
) -> None:
    train_case(clip_gpt2, epochs=1, warmup={"epochs": 1, "lr": 1e-2})
    begun = load_file(clip_gpt2.weights["language"] / "model.safetensors")
    ended = load_file(tmp_path / "out/fold0/last/language/model.safetensors")
    assert all(np.array_equal(begun[name], ended[name]) for name in begun)


def test_a_second_stage_begins_with_all_files_of_the_first(
    clip_gpt2: Case, train_case: Callable[..., Any], tmp_path: Path
) -> None:
    train_case(clip_gpt2, out="one", epochs=1)
    tiny = {"name": "adamw", "lr": 1e-12}
    stage = train_case(clip_gpt2, out="two", optimiser=tiny, options={"weights": tmp_path / "one"})
    for name in ("mapper.safetensors", "language/model.safetensors"):
        first, second = (load_file(tmp_path / out / "fold0/best" / name) for out in ("one", "two"))
        for key, weight in first.items():
            assert second[key] == pytest.approx(weight, abs=1e-6), key
    assert stage.folds[0].result.files["tower"].startswith("tower-")


def test_the_encoder_that_made_the_targets_is_left_beside_the_checkpoints(
    blip: Case, train_case: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "letters/1_Pooling").mkdir(parents=True)
    (tmp_path / "letters/1_Pooling/config.json").write_text("{}")
    report = train_case(blip, epochs=1, options={"encoder": tmp_path / "letters"})
    (checkpoint,) = load_definition(report.definition).files_of(0)
    kept = tmp_path / "out" / checkpoint["encoder"]
    assert file_digest(kept) == file_digest(tmp_path / "letters")
    assert kept.name == f"encoder-{file_digest(kept)[:12]}"


def test_as_many_images_are_described_as_the_recipe_says(
    blip: Case, train_case: Callable[..., Any]
) -> None:
    few = train_case(blip, out="few", validate_images=2).folds[0].result
    every = train_case(blip, out="all", validate_images=200).folds[0].result
    assert (few.judged, every.judged, every.held_out) == (2, 5, 5)
    assert few.scores != every.scores


def test_prompts_that_are_cut_are_counted(
    coca: Case, train_case: Callable[..., Any], described: Path, tmp_path: Path
) -> None:
    longer = described.read_text().replace("a red dog", "a red dog " * 12)
    (tmp_path / "longer.tsv").write_text(longer)
    report = train_case(coca, epochs=1, options={"data": [tmp_path / "longer.tsv"]})
    assert report.folds[0].result.cut == 1


def test_a_loss_of_texts_that_is_no_number_stops_with_its_images(
    blip: Case, train_case: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match=r"the loss of step \d, epoch 0, is nan") as stop:
        train_case(blip, optimiser={"name": "adamw", "lr": 1e30})
    assert str(stop.value).count(".png") == 4


@pytest.mark.parametrize(
    ("name", "keys", "error", "said"),
    [
        ("blip", {"loss": {"tokens": 1.0, "cosine": 1.0}}, InputError, "by loss.cosine; weigh tok"),
        ("clip_gpt2", {"loss": {"info_nce": 1.0}}, InputError, "by loss.info_nce; weigh tokens"),
        (
            "blip",
            {"options": {"weights": None}},
            InputError,
            "none is given: add --weights model=PATH",
        ),
        (
            "coca",
            {"options": {"weights": None}},
            InputError,
            "none is given: add --weights weights=PATH",
        ),
        ("clip_gpt2", {"options": {"weights": None}}, InputError, "add --weights tower=PATH"),
        ("clip_gpt2", {"options": {"weights": "x"}}, PredictorError, "as in tower=FILE"),
        (
            "coca",
            {"config": {"beams": 2, "max_tokens": 60}},
            PredictorError,
            "this model's texts have 12 at most",
        ),
    ],
)
def test_what_a_captioner_cannot_be_trained_by_is_refused(
    request: pytest.FixtureRequest,
    train_case: Callable[..., Any],
    name: str,
    keys: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error) as refused:
        train_case(request.getfixturevalue(name), **keys)
    assert said in str(refused.value)


def test_a_tower_cannot_be_trained_by_tokens(train_here: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"by loss\.tokens; weigh cosine, ranking, info_nce"):
        train_here(loss={"tokens": 1.0})
