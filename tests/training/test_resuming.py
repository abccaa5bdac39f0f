"""Killed, interrupted, out of disk: the same command then ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from timm.optim import MADGRAD

from ensembler.errors import InputError
from ensembler.files import locked
from ensembler.store.encoder import TextEncoder
from ensembler.store.model import EncoderRecord
from predictors.shared.tower import Tower
from predictors.shared.tower_config import TowerConfig
from predictors.shared.training import checkpoints, learner, loop, targets
from predictors.shared.training.state import pack_tensors, restore_optimiser, split_optimiser_state
from tests.disk_changes import before_each_change, in_a_child

RECIPE: dict[str, Any] = {
    "epochs": 3,
    "optimiser": {"name": "madgrad", "lr": 1e-2, "weight_decay": 0.05},
    "warmup": {"epochs": 1, "lr": 1e-2},
    "augment": {"scale": [0.5, 1.0], "colour": 0.2, "flip": True},
    "ema": 0.5,
}
STEPS = 6
MADE = ("best.safetensors", "last.safetensors", "metrics.jsonl", "record.json")


class Died(BaseException):
    """Stands for a death at a moment that the test chooses."""


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """What an uninterrupted run made; the first test that needs it fills it."""
    return {}


@pytest.fixture
def check_equal(
    train_here: Callable[..., Any], whole: dict[str, bytes], tmp_path: Path
) -> Callable[[], None]:
    """`check_equal()`: finish the training in `out`, which is then as an uninterrupted one."""
    if not whole:
        train_here(out="whole", **RECIPE)
        whole |= {name: (tmp_path / "whole/fold0" / name).read_bytes() for name in MADE}

    def check() -> None:
        train_here(**RECIPE)
        folder = tmp_path / "out/fold0"
        made = {path.name for path in folder.iterdir() if not path.match("events.out.tfevents.*")}
        assert made == {*MADE, "job.json"}
        for name, content in whole.items():
            assert (folder / name).read_bytes() == content, name

    return check


def dying_after(changes: int) -> Callable[[], None]:
    """Kills this process when it is called once too often."""
    left = iter(range(changes))

    def die() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def dies_at(step: int, steps: int = STEPS) -> Callable[[str, int, int], None]:
    def progress(stage: str, done: int, total: int) -> None:
        if stage.endswith("training") and done * steps == step * total:
            raise Died

    return progress


@pytest.mark.parametrize("save_steps", [1, 1000])
def test_interrupted_at_any_step_it_goes_on_bit_for_bit(
    train_here: Callable[..., Any],
    check_equal: Callable[[], None],
    tmp_path: Path,
    save_steps: int,
) -> None:
    for step in range(1, STEPS + 1):
        options = {"progress": dies_at(step), "save_steps": save_steps}
        with pytest.raises(Died):
            train_here(options=options, **RECIPE)
        lines = (tmp_path / "out/fold0/metrics.jsonl").read_text().count("loss")
        assert lines == step
    check_equal()


@pytest.mark.parametrize(
    "keys",
    [
        {"optimiser": {"name": "adamw", "lr": 1e-3}, "precision": "bfloat16", "accumulate": 2},
        {
            "config": {
                "model": "test_resnet.r160_in1k",
                "head": {"kind": "wide", "dim": 6, "hidden": [8]},
                "image_size": 32,
            }
        },
        {
            "optimiser": {"name": "madgrad", "lr": 1e-3, "weight_decay": 0.05},
            "warmup": {"epochs": 1, "lr": 1e-2},
            "config": {
                "model": "test_efficientnet.r160_in1k",
                "head": {"kind": "linear", "dim": 6},
                "image_size": 64,
            },
            "epochs": 8,
        },
        {
            "optimiser": {"name": "madgrad", "lr": 1e-2, "weight_decay": 0.05, "sam_rho": 0.05},
            "freeze": 0.17,
            "lora": {"share": 0.33, "rank": 2},
            "reinitialise": 1,
            "drop_path": 0.3,
            "ema": 0.5,
            "accumulate": 2,
        },
    ],
    ids=["adamw-bfloat16", "batch-norm", "convolutions-madgrad", "sam-lora-drop-path-average"],
)
def test_other_recipes_go_on_bit_for_bit_too(
    train_here: Callable[..., Any], tmp_path: Path, keys: dict[str, Any]
) -> None:
    whole = train_here(out="whole", **keys)
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(3, 4), "save_steps": 1}, **keys)
    assert train_here(**keys).folds == whole.folds
    for name in ("last.safetensors", "metrics.jsonl"):
        assert (tmp_path / "out/fold0" / name).read_bytes() == (
            tmp_path / "whole/fold0" / name
        ).read_bytes()


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_what_an_optimiser_remembers_comes_back_laid_out_as_it_was(
    memory: torch.memory_format,
) -> None:
    weight = torch.nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=memory))
    scalar = torch.nn.Parameter(torch.ones(()))
    optimisers = [MADGRAD([weight, scalar]), torch.optim.AdamW([weight, scalar])]
    for optimiser in optimisers:
        (weight.square().sum() + scalar).backward()
        optimiser.step()
        tensors, numbers = split_optimiser_state(optimiser)
        again = type(optimiser)(optimiser.param_groups)
        restore_optimiser(again, load(pack_tensors(tensors)), numbers)
        ours, theirs = again.state[weight], optimiser.state[weight]
        assert ours.keys() == theirs.keys()
        for name, one in theirs.items():
            if isinstance(one, torch.Tensor):
                assert torch.equal(ours[name], one), name
                assert ours[name].stride() == one.stride(), name


def test_killed_before_any_change_of_the_disk_it_goes_on_bit_for_bit(
    train_here: Callable[..., Any], check_equal: Callable[[], None], tmp_path: Path
) -> None:
    def run(change: int) -> None:
        before_each_change(tmp_path / "out", dying_after(change))
        train_here(options={"save_steps": 1}, **RECIPE)

    for change in count(2, 5):  # each run gets further and dies elsewhere
        code = in_a_child(partial(run, change))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert change > 15
    check_equal()


def test_a_full_disk_leaves_the_older_state_and_the_run_goes_on_from_it(
    train_here: Callable[..., Any],
    check_equal: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(4), "save_steps": 1}, **RECIPE)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {path.name for path in (tmp_path / "out/fold0").glob("state*")}
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_training_state", lambda *_: full(0))
        with pytest.raises(InputError, match=r"No space left on device; what was saved before is"):
            train_here(options={"save_steps": 1}, **RECIPE)
    assert {path.name for path in (tmp_path / "out/fold0").glob("state*")} == before
    check_equal()


def test_a_full_disk_leaves_the_older_checkpoint_whole(
    train_here: Callable[..., Any],
    check_equal: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(3)}, **RECIPE)

    def full(_: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files = {name: tmp_path / "out/fold0" / name for name in MADE if name.endswith(".safetensors")}
    before = {name: path.read_bytes() for name, path in files.items()}
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "pack_tensors", full)
        with pytest.raises(InputError, match=r"No space left on device; what was saved before is"):
            train_here(**RECIPE)
    assert {name: path.read_bytes() for name, path in files.items()} == before
    check_equal()


@pytest.mark.parametrize(
    ("step", "keys", "learned"),
    [
        (2, RECIPE, {"head"}),  # the end of the warm-up
        (
            4,
            RECIPE | {"freeze": 0.5},
            {"head", "tower.norm", *(f"tower.blocks.{n}" for n in (3, 4, 5))},
        ),
        (2, {"freeze": 1.0}, {"head"}),
    ],
    ids=["warm-up", "half", "head alone"],
)
def test_a_state_goes_without_the_weights_that_stay_frozen(
    train_here: Callable[..., Any],
    tmp_path: Path,
    step: int,
    keys: dict[str, Any],
    learned: set[str],
) -> None:
    with pytest.raises(Died):
        train_here(
            options={"progress": dies_at(step + 1, 6), "save_steps": 1}, **{"epochs": 3} | keys
        )
    (state,) = (tmp_path / "out/fold0").glob(f"state-{step}.safetensors")
    names = load(state.read_bytes()).keys()
    for whose in ("model", "average") if "ema" in keys else ("model",):
        held = {name.removeprefix(f"{whose}.") for name in names if name.startswith(f"{whose}.")}
        assert {name for name in held if not name.startswith(tuple(learned))} == set()
        assert {one for one in learned if any(name.startswith(one) for name in held)} == learned


def test_a_state_with_all_weights_as_they_once_were_written_is_gone_on_from(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = train_here(out="whole", freeze=0.5, **RECIPE)
    with monkeypatch.context() as patch:
        patch.setattr(learner, "unchanging_names", lambda _: frozenset())
        with pytest.raises(Died):
            train_here(options={"progress": dies_at(4)}, freeze=0.5, **RECIPE)
    record = tmp_path / "out/fold0/state.json"
    document = json.loads(record.read_bytes())
    del document["position"]["frozen"]
    record.write_text(json.dumps(document))
    assert train_here(freeze=0.5, **RECIPE).folds == whole.folds


def test_frozen_weights_that_are_others_than_the_states_are_refused_with_both_digests(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(4)}, freeze=0.5, **RECIPE)

    def built_otherwise(config: TowerConfig) -> Tower:
        tower = Tower(config)
        tower.tower.pos_embed.data += 1.0
        return tower

    monkeypatch.setattr("predictors.tower.train.Tower", built_otherwise)
    with pytest.raises(InputError, match=r"digest is [0-9a-f]{64} there, and [0-9a-f]{64} here"):
        train_here(freeze=0.5, **RECIPE)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-5], "its sha256 is"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "its sha256 is"),
        (None, "No such file"),
    ],
)
def test_a_damaged_state_is_refused(
    train_here: Callable[..., Any],
    tmp_path: Path,
    damage: Callable[[bytes], bytes] | None,
    said: str,
) -> None:
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(4)}, **RECIPE)
    (tensors,) = (tmp_path / "out/fold0").glob("state-*.safetensors")
    if damage is None:
        tensors.unlink()
    else:
        tensors.write_bytes(damage(tensors.read_bytes()))
    with pytest.raises(InputError, match=r"is damaged: .*Remove the folder") as refused:
        train_here(**RECIPE)
    assert said in str(refused.value)


def test_a_damaged_record_of_the_state_is_refused(
    train_here: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(4)}, **RECIPE)
    (tmp_path / "out/fold0/state.json").write_text('{"position": {}}')
    with pytest.raises(InputError, match=r"state.json is damaged: "):
        train_here(**RECIPE)


def test_another_recipe_is_refused_with_both_digests(train_here: Callable[..., Any]) -> None:
    digests = [train_here(**RECIPE).folds[0].digests["recipe"]]
    with pytest.raises(InputError, match="started with the recipe of digest") as refused:
        train_here(**RECIPE | {"ema": 0.25})
    digests.append(train_here(out="other", **RECIPE | {"ema": 0.25}).folds[0].digests["recipe"])
    assert all(digest in str(refused.value) for digest in digests)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_fold_without_a_state_may_be_begun_anew_with_another_recipe(
    train_here: Callable[..., Any], fold: int
) -> None:
    with pytest.raises(InputError, match="set a smaller batch"):
        train_here(batch=11)
    again = train_here(fold=fold, batch=5).folds[0]
    assert again.recipe["batch"] == 5


def test_a_fold_with_a_state_is_refused_another_recipe(train_here: Callable[..., Any]) -> None:
    with pytest.raises(Died):
        train_here(options={"progress": dies_at(4)}, **RECIPE)
    with pytest.raises(InputError, match="started with the recipe of digest"):
        train_here(**RECIPE | {"ema": 0.25})


def test_a_run_that_diverged_is_given_advice_that_works(train_here: Callable[..., Any]) -> None:
    too_high = {"name": "adamw", "lr": 1e30}
    with pytest.raises(InputError, match=r"a lower learning rate than .* and another --out"):
        train_here(optimiser=too_high, options={"save_steps": 1})
    assert train_here(out="another").folds[0].result.steps


def test_other_data_are_refused_with_both_digests(
    train_here: Callable[..., Any], table: Path, tmp_path: Path
) -> None:
    digest = train_here(**RECIPE).folds[0].digests["data"]
    less = tmp_path / "less.tsv"
    less.write_text("".join(table.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(InputError, match=f"started with the data of digest {digest}, but this"):
        train_here(fold=1, options={"data": [less]}, **RECIPE)


def test_another_predictor_is_refused(train_here: Callable[..., Any], tmp_path: Path) -> None:
    train_here(**RECIPE)
    begun = tmp_path / "out/fold0/job.json"
    begun.write_text(begun.read_text().replace("tower", "convnext"))
    with pytest.raises(InputError, match="holds a 'convnext', not a 'tower'"):
        train_here(**RECIPE)


def test_another_encoder_is_refused(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_here(**RECIPE)
    other = EncoderRecord(name="other", sha256="1" * 64)
    monkeypatch.setattr(targets, "load_encoder", lambda _: TextEncoder(other, None))
    with pytest.raises(InputError, match="targets of the encoder 'letters'"):
        train_here(fold=1, **RECIPE)


def test_targets_of_other_data_are_told_from_those_of_another_encoder(
    train_here: Callable[..., Any], table: Path, tmp_path: Path
) -> None:
    digest = train_here(**RECIPE).folds[0].digests["data"]
    shutil.rmtree(tmp_path / "out/fold0")
    less = tmp_path / "less.tsv"
    less.write_text("".join(table.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(
        InputError, match=f"targets of the data with digest {digest}, but"
    ) as refused:
        train_here(options={"data": [less]}, **RECIPE)
    other = train_here(out="other", options={"data": [less]}, **RECIPE).folds[0]
    assert other.digests["data"] in str(refused.value)
    assert "encoder" not in str(refused.value)


def test_finished_folds_are_skipped(
    train_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_here(fold=1)
    report = train_here(fold="all")
    assert report.before == (1,)
    monkeypatch.setattr(loop, "train_fold", None)  # nothing is left to train
    again = train_here(fold="all")
    assert again.before == (0, 1, 2)
    assert again.folds == report.folds


def test_two_runs_do_not_share_a_folder(train_here: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        locked(tmp_path / "out"),
        pytest.raises(InputError, match="another run trains in"),
    ):
        train_here(**RECIPE)
