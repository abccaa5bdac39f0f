"""The comparison of training loops: by their final weights, and by the operations of a step."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks import flops, training
from benchmarks.flops import peak_flops, step_flops
from benchmarks.timing import race


class Patches(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A tower of one convolution, its places averaged."""

    pretrained_cfg = {"input_size": (3, 8, 8)}  # noqa: RUF012 - as timm has it

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 5, kernel_size=4, stride=4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The features, (n, 5), of (n, 3, 8, 8) pixels."""
        return self.patches(pixels).mean((2, 3))


def test_a_steps_operations_are_counted_forward_and_back() -> None:
    model = torch.nn.ModuleDict({"tower": Patches(), "head": torch.nn.Linear(5, 7, bias=False)})
    patches, head = 2 * 4 * 5 * 3 * 4 * 4, 2 * 5 * 7  # multiplications and additions, forward
    # Back, once for the weights and once for what came in; pixels need no gradient.
    assert step_flops(model) == 2 * patches + 3 * head
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("device", "sheet"),
    [
        ("NVIDIA H100 PCIe", "NVIDIA H100 PCIe"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100"),
        ("Tesla T4", "Tesla T4"),
    ],
)
def test_a_gpu_is_measured_by_its_own_data_sheet(
    monkeypatch: pytest.MonkeyPatch, device: str, sheet: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: device)
    assert peak_flops("cuda", "bfloat16") == (flops.DATA_SHEET[sheet], f"{sheet}'s data sheet")


def test_a_device_without_one_is_measured_by_large_products(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flops, "SIDE", {"cpu": 8})
    peak, whose = peak_flops("cpu", "float32")
    assert peak > 0.0
    assert whose == "large matrix products"


def test_the_distance_of_two_ends_is_a_share_of_the_way() -> None:
    begin = {"weight": torch.zeros(2)}
    end, other = {"weight": torch.tensor([3.0, 4.0])}, {"weight": torch.tensor([3.0, 4.5])}
    assert training._apart(end, end, begin) == 0.0
    assert training._apart(other, end, begin) == pytest.approx(0.1)


def test_works_that_race_have_as_many_turns_each_and_give_their_last_answer() -> None:
    turns: list[str] = []

    def work(name: str) -> int:
        turns.append(name)
        return len(turns)

    found = race(2, {"one": partial(work, "one"), "other": partial(work, "other")})
    assert turns == ["one", "other", "one", "other"]
    assert {name: one.answer for name, one in found.items()} == {"one": 3, "other": 4}
    assert all(one.seconds >= 0.0 and one.cpu >= 0.0 for one in found.values())
