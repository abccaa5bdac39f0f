"""Floating-point operations: what a training step needs, and what a device can do at most."""

from __future__ import annotations

import time
from typing import Any

from ensembler.predicting.batches import Precision

# Dense tensor-core peaks in 16 bits, by the vendor's data sheets; the first name that a device's
# begins with counts.
DATA_SHEET = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L4": 121e12,
    "NVIDIA A10": 125e12,
    "Tesla V100": 125e12,
    "Tesla T4": 65e12,
}
SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices that are multiplied
TRIES = 5


def step_flops(model: Any) -> float:  # noqa: ANN401 - a torch module
    """Operations of an image's way forward and back through a `bare_model`.

    Those of matrix products and convolutions, a multiplication and an addition counting as two.
    What a step recomputes, normalises or adds up is not counted: this is the numerator of model
    FLOPs utilisation (Chowdhery et al., 2022).

    Args:
        model: on the CPU; its gradients are left empty.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    pixels = torch.zeros(1, *model["tower"].pretrained_cfg["input_size"])
    # Attention as plain products: not every fused kernel is known to the counter.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model["head"](model["tower"](pixels)).sum().backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def peak_flops(device: str, precision: Precision) -> tuple[float, str]:
    """Operations a second that a device can do at most, and by whose word.

    A GPU's are its data sheet's, where the sheet is known here; else what large products of
    matrices reach.
    """
    import torch

    if device == "cuda" and precision != "float32":
        name = torch.cuda.get_device_name()
        for beginning, peak in DATA_SHEET.items():
            if name.startswith(beginning):
                return peak, f"{beginning}'s data sheet"
    return _measured_peak(device, precision), "large matrix products"


def _measured_peak(device: str, precision: Precision) -> float:
    import torch

    side = SIDE[device]
    matrix = torch.ones(side, side, device=device, dtype=getattr(torch, precision))
    best = 0.0
    for _ in range(TRIES):
        begun = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # waits for the product
        best = max(best, 2 * side**3 / (time.perf_counter() - begun))
    return best
