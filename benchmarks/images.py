"""Images: the cost of decoding, checking and storing in a run, beyond the model's own work.

The bare loop is what people write: the library's model and transform, its DataLoader, the vectors
in a list. Ours is a worker's loop: the same model, batch and precision, with vectors flushed to
disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers import check
from benchmarks.environment import NotInstalledError
from benchmarks.table import Line, Result
from benchmarks.timing import medians
from ensembler.images.preprocess import Preprocess
from ensembler.inference.messages import Embed, Load, Setup
from ensembler.inference.worker import Worker
from ensembler.predicting.batches import Precision
from ensembler.predicting.registry import find_adapter, missing_packages, pip_line
from ensembler.work.entry import Entry
from ensembler.work.store import open_work

COUNTS = {"toy": 8, "small": 128, "full": 1024}  # images of 512 × 512
RUNS = {"toy": 1, "small": 3, "full": 5}
MODELS = {
    "toy": "test_vit",
    "small": "vit_small_patch16_224.augreg_in1k",
    "full": "vit_base_patch16_224.augreg_in1k",
}
BATCH = 32
CLOSE = {"float32": 1e-4, "float16": 2e-2}  # tolerance, as a share of the longest vector


class _Scene(NamedTuple):
    """The images, model and settings of both loops."""

    paths: list[Path]
    model: str
    weights: Path
    device: str
    precision: Precision
    loaders: int


def run(size: str) -> list[Result]:
    """One table for the CPU, and one for a CUDA device where there is one.

    Raises:
        NotInstalledError: torch or the model libraries are not installed.
    """
    tower = find_adapter("tower")
    if missing := missing_packages(tower):
        raise NotInstalledError(f"needs {', '.join(missing)}: {pip_line(tower)}")
    import torch

    devices: list[tuple[str, Precision]] = [("cpu", "float32")]
    if torch.cuda.is_available():
        devices.append(("cuda", "float16"))
    return [_compare(size, device, precision) for device, precision in devices]


def _compare(size: str, device: str, precision: Precision) -> Result:
    count, model = COUNTS[size], MODELS[size]
    loaders = min(8, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder, open_work(Path(folder) / "work") as work:
        paths, weights = paint(Path(folder), count), Path(folder) / "weights.safetensors"
        scene = _Scene(paths, model, weights, device, precision, loaders)
        module = _make_model(scene)
        bare = _bare_loop(scene, module)
        entry = work.entry({}, list(map(str, paths)), module.num_features)
        worker = _worker_loop(scene, module, entry)
        bare()  # warms up, as the worker's first pass does: kernels, page cache
        worker()
        seconds = medians(RUNS[size], {"bare": bare, "worker": worker})
        _check_vectors(bare(), np.array(entry.vectors), precision)
    return Result(
        title=f"{count} images, {model}, {device}, {precision}",
        lines=tuple(
            Line(name=name, seconds=seconds[key], fact=count / seconds[key])
            for name, key in (("timm and a DataLoader, bare", "bare"), ("ours: a worker", "worker"))
        ),
        fact="images / s",
        decimals=1,
    )


def paint(folder: Path, count: int) -> list[Path]:
    """Write images of 512 × 512 that compress like photographs: large shapes, a little grain.

    Args:
        folder: an existing folder.
        count: number of images.

    Returns:
        Their files.
    """
    from PIL import Image

    rng = np.random.default_rng(0)
    paths = [folder / f"{number:05}.png" for number in range(count)]
    for path in paths:
        shapes = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        pixels = np.asarray(shapes.resize((512, 512))).astype(np.int16)
        grainy = pixels + rng.integers(-3, 4, pixels.shape)
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(path)
    return paths


def _make_model(scene: _Scene) -> Any:  # noqa: ANN401 - timm is untyped
    """Build the library's model, and write its random weights to a file for ours."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    module = timm.create_model(scene.model, pretrained=False, num_classes=0).eval()
    save_file(module.state_dict(), scene.weights)
    return module.to(scene.device).requires_grad_(False)


def _bare_loop(scene: _Scene, module: Any) -> Callable[[], NDArray[np.float32]]:  # noqa: ANN401
    import timm.data
    import torch
    from PIL import Image

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module))

    class Files(torch.utils.data.Dataset):  # type: ignore[misc] # torch is untyped here
        def __len__(self) -> int:
            return len(scene.paths)

        def __getitem__(self, row: int) -> Any:  # noqa: ANN401 - a tensor
            with Image.open(scene.paths[row]) as image:
                return transform(image.convert("RGB"))

    half = torch.autocast(scene.device, dtype=torch.float16, enabled=scene.precision == "float16")
    loader = torch.utils.data.DataLoader(
        Files(),
        BATCH,
        num_workers=scene.loaders,
        pin_memory=scene.device != "cpu",
        persistent_workers=True,  # starting them is not part of the work
    )

    def loop() -> NDArray[np.float32]:
        with torch.inference_mode(), half:
            batches = [module(pixels.to(scene.device)).float().cpu() for pixels in loader]
        vectors: NDArray[np.float32] = torch.cat(batches).numpy()
        return vectors

    return loop


def _worker_loop(scene: _Scene, module: Any, entry: Entry) -> Callable[[], None]:  # noqa: ANN401
    """A loop of a worker that has the model loaded and embeds all images anew each time."""
    from predictors.shared.tower_config import TowerConfig
    from predictors.tower.adapter import VisionTower

    config = {"model": scene.model, "head": {"kind": "none"}}
    loaded = VisionTower.load(
        TowerConfig.model_validate(config), {"weights": scene.weights}, device="cpu"
    )
    preprocess: Preprocess = loaded.preprocess
    kinds: list[str] = []  # of the worker's messages
    worker = Worker(
        Setup(
            images=tuple(map(str, scene.paths)),
            device=scene.device,
            precision=scene.precision,
            threads=scene.loaders,
        ),
        lambda message: kinds.append(message.kind),
    )
    worker.take(
        Load(
            predictor="tower",
            config=config,
            files={"weights": str(scene.weights)},
            preprocessing=preprocess.model_dump(mode="json"),
            dim=module.num_features,
        )
    )
    positions = tuple(range(len(scene.paths)))

    def loop() -> None:
        worker.take(Embed(folder=str(entry.folder), positions=positions, batch=BATCH))
        check(kinds[-1] == "finished", f"the worker said {kinds[-1]} instead of finished")

    return loop


def _check_vectors(
    bare: NDArray[np.float32], ours: NDArray[np.float32], precision: Precision
) -> None:
    off = float(np.abs(bare - ours).max() / np.linalg.norm(bare, axis=1).max())
    check(off <= CLOSE[precision], f"the loops' vectors differ by {off:.1e} of a vector's length")
