"""Floating-point operations of a training step, and the peak of a device."""

from __future__ import annotations

import time
from typing import Any

from ensembler.predicting.batches import Precision

# Dense 16-bit tensor-core peaks from the vendor's data sheets; the first entry counts that a
# device's name begins with.
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
SIDE = {"cpu": 1024, "cuda": 8192}  # rows and columns of the matrices that are multiplied
TRIES = 5


def step_flops(model: Any) -> float:  # noqa: ANN401 - a torch module
    """Operations of one image's forward and backward pass through a `bare_model`.

    Matrix products and convolutions are counted, a multiplication and an addition as two.
    Recomputation, normalisation and the optimiser are not: this is the numerator of model FLOPs
    utilisation (Chowdhery et al., 2022).

    Args:
        model: the model, on the CPU; its gradients are left empty.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    pixels = torch.zeros(1, *model["tower"].pretrained_cfg["input_size"])
    # Attention as plain products: the counter does not know every fused kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model["head"](model["tower"](pixels)).sum().backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def peak_flops(device: str, precision: Precision) -> tuple[float, str]:
    """The most operations per second of a device, and the source of that number.

    For a GPU it is its data sheet, where that is known here; otherwise the speed of large matrix
    products.
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
