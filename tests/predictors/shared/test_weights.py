"""Weights of files: every kind that is read, and every kind that is refused."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ensembler.errors import PredictorError
from ensembler.testing.damage import plant_pickle, truncate
from predictors.shared.weights import load_strictly, load_weights

STATE = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([7.0, 8.0])}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[k], STATE[k]) for k in STATE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert same(load_weights(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_a_state_dict_of_torch_is_read(tmp_path: Path, suffix: str) -> None:
    torch.save(STATE, tmp_path / f"w{suffix}")
    assert same(load_weights(tmp_path / f"w{suffix}"))


@pytest.mark.parametrize("key", ["state_dict", "model", "model_ema", "state_dict_ema"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.module."])
def test_a_training_scripts_file_gives_its_weights(tmp_path: Path, key: str, wrapper: str) -> None:
    wrapped = {wrapper + name: tensor for name, tensor in STATE.items()}
    torch.save({"epoch": 3, key: wrapped}, tmp_path / "w.pt")
    assert same(load_weights(tmp_path / "w.pt"))


def test_averaged_weights_come_before_the_last_ones(tmp_path: Path) -> None:
    last = {name: tensor + 1.0 for name, tensor in STATE.items()}
    torch.save({"state_dict": last, "state_dict_ema": STATE}, tmp_path / "w.pt")
    assert same(load_weights(tmp_path / "w.pt"))


def _text(path: Path) -> None:
    path.write_text("weights")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    "damage", [truncate, _text, Path.unlink, lambda path: path.write_bytes(b"")]
)
def test_a_damaged_or_missing_file_is_refused(
    tmp_path: Path, suffix: str, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / f"w{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    damage(path)
    with pytest.raises(PredictorError, match=rf"w{suffix} cannot be read as weights: ."):
        load_weights(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    plant_pickle(path, tmp_path / "witness")
    with pytest.raises(PredictorError, match="nothing in it is executed") as refused:
        load_weights(path)
    assert "weights_only" not in str(refused.value)
    assert not (tmp_path / "witness").exists()


def test_a_refused_pickle_is_reported_by_what_it_would_run_not_by_how_to_allow_it(
    tmp_path: Path,
) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, ("true",)

    for content, asked in (
        (Hostile(), rf"would run {os.name}\.system\."),
        (Path, "would run path"),
    ):
        torch.save({"weight": content}, tmp_path / "w.pt")
        with pytest.raises(PredictorError, match=asked) as refused:
            load_weights(tmp_path / "w.pt")
        for advice in ("weights_only", "can still be loaded", "safe_globals"):
            assert advice not in str(refused.value)


def test_a_torchscript_program_is_refused_with_the_way_to_its_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ViT-L-14.pt", "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"ViT-L-14/{name}", b"")
    with pytest.raises(PredictorError, match=r"TorchScript program.*state_dict\(\), other_path"):
        load_weights(tmp_path / "ViT-L-14.pt")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path, bad: float) -> None:
    save_file({**STATE, "bias": torch.tensor([7.0, bad])}, tmp_path / "w.safetensors")
    with pytest.raises(PredictorError, match="NaN or infinity in bias"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [{}, [1.0], torch.zeros(2)])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(PredictorError, match="holds no weights"):
        load_weights(tmp_path / "w.pt")


def test_an_entry_that_is_not_a_tensor_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({**STATE, "epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(PredictorError, match="holds epoch beside tensors"):
        load_weights(tmp_path / "w.pt")


def test_strict_loading_fills_the_module() -> None:
    module = torch.nn.Linear(3, 2)
    load_strictly(module, STATE, Path("w.pt"))
    assert same(dict(module.state_dict()))


def test_half_precision_weights_are_loaded_into_the_modules_own_type() -> None:
    module = torch.nn.Linear(3, 2)
    load_strictly(module, {name: tensor.half() for name, tensor in STATE.items()}, Path("w.pt"))
    assert module.weight.dtype == torch.float32
    assert same(dict(module.state_dict()))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"weight": STATE["weight"]}, r"1 weights are missing \(bias\)"),
        ({**STATE, "scale": STATE["bias"]}, r"1 weights are unexpected \(scale\)"),
        (
            {"weight": STATE["weight"], "scale": STATE["bias"]},
            r"1 weights are missing \(bias\) and 1 weights are unexpected \(scale\)",
        ),
        ({**STATE, "bias": torch.zeros(3)}, r"other shapes: bias \(3,\) instead of \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    state: dict[str, torch.Tensor], said: str
) -> None:
    module = torch.nn.Linear(3, 2)
    before = module.weight.detach().clone()
    with pytest.raises(PredictorError, match=said):
        load_strictly(module, state, Path("w.pt"))
    assert torch.equal(module.weight, before)
