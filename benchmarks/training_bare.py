"""The training loop that people write: timm's model and transform, a DataLoader, torch's AdamW."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.training_scenes import RATE, SEED, WORKERS, Prepared, Scene
from predictors.shared.training.draws import epoch_order


def bare_model(name: str) -> Any:  # noqa: ANN401 - a torch module
    """Build a timm model and a linear head, newly initialised, with our checkpoints' names."""
    import timm
    import torch

    torch.manual_seed(SEED)
    tower = timm.create_model(name, pretrained=False, num_classes=0)
    head = torch.nn.Linear(tower.num_features, 384, bias=False)
    return torch.nn.ModuleDict({"tower": tower, "head": head})


def train_bare(model: Any, scene: Scene, prepared: Prepared) -> list[float]:  # noqa: ANN401
    """Train a model for one epoch, in the order of ours.

    Args:
        model: a `bare_model`; changed in place.
        scene: the settings.
        prepared: the data, and the weights to begin with.

    Returns:
        The time at which each step was done, by `time.perf_counter`.
    """
    import torch
    from safetensors.torch import load_file
    from torch.nn.functional import cosine_similarity

    model.load_state_dict(load_file(prepared.begin))
    model.to(scene.device).train()
    order = epoch_order(scene.learned, scene.batch, seed=SEED, epoch=0)
    loader = torch.utils.data.DataLoader(
        _dataset(model["tower"], prepared),
        batch_sampler=order.tolist(),
        num_workers=WORKERS,
        pin_memory=scene.device != "cpu",
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    arithmetic = torch.autocast(
        scene.device, dtype=torch.bfloat16, enabled=scene.precision == "bfloat16"
    )
    done = []
    for pixels, targets in loader:
        with arithmetic:
            vectors = model["head"](model["tower"](pixels.to(scene.device, non_blocking=True)))
        wanted = targets.to(scene.device, non_blocking=True)
        loss = (1.0 - cosine_similarity(vectors.float(), wanted)).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss.item()  # as for logging; waits for the step, on a GPU too
        done.append(time.perf_counter())
    return done


def _dataset(tower: Any, prepared: Prepared) -> Any:  # noqa: ANN401 - both of torch
    import timm.data
    import torch
    from PIL import Image

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(tower))

    class Pairs(torch.utils.data.Dataset):  # type: ignore[misc] # torch is untyped here
        def __len__(self) -> int:
            return len(prepared.images)

        def __getitem__(self, row: int) -> tuple[Any, Any]:
            with Image.open(prepared.images[row]) as image:
                return transform(image.convert("RGB")), prepared.targets[row]

    return Pairs()
