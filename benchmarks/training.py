"""Training: images per second of `ensembler train` beside a bare PyTorch loop.

Both begin with the same weights, take the same images in the same batches, without augmentation,
and must end with the same weights. Steps are timed, from when the pipelines are full to the last.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.answers import check
from benchmarks.environment import NotInstalledError
from benchmarks.flops import peak_flops, step_flops
from benchmarks.table import Line, Result
from benchmarks.timing import fastest
from benchmarks.training_bare import bare_model, train_bare
from benchmarks.training_scenes import WORKERS, Prepared, Scene, prepare
from ensembler.errors import PredictorError
from ensembler.predicting.batches import Precision
from ensembler.training.contract import LAST
from ensembler.training.records import fold_folder
from ensembler.training.run import find_trainer, train

RUNS = {"toy": 1, "small": 3, "full": 3}
UNTIMED = 2  # steps at the beginning, while the pipelines fill
BARE, OURS = "a bare PyTorch loop", "ours: ensembler train"
ON_CPU = {  # model, batch, steps
    "toy": ("test_vit", 2, 4),
    "small": ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 8, 16),
    "full": ("vit_small_patch16_224.augreg_in1k", 16, 24),
}
ON_GPU = {
    "toy": ("test_vit", 2, 4),
    "small": ("vit_base_patch16_224.augreg_in1k", 64, 32),
    "full": ("vit_large_patch14_clip_336.laion2b_ft_in12k_in1k", 64, 48),
}
# Tolerance as a share of the distance that the weights move: sums are taken in another order, and
# AdamW scales the smallest gradients up to the size of the others.
CLOSE: dict[Precision, float] = {"float32": 1e-3, "bfloat16": 0.3}

Weights = Mapping[str, Any]  # name → tensor


def run(size: str) -> list[Result]:
    """Images per second and MFU: two tables for the CPU, and two for a GPU if there is one.

    The part for a GPU has not been run yet.

    Raises:
        NotInstalledError: the packages that training needs are not installed.
    """
    try:
        find_trainer("tower")
    except PredictorError as error:
        raise NotInstalledError(str(error)) from error
    import torch

    tables = _compare(_scene(ON_CPU[size], "cpu", "float32"), RUNS[size])
    if torch.cuda.is_available():
        tables += _compare(_scene(ON_GPU[size], "cuda", "bfloat16"), RUNS[size])
    return tables


def _scene(what: tuple[str, int, int], device: str, precision: Precision) -> Scene:
    model, batch, steps = what
    return Scene(model=model, batch=batch, steps=steps, device=device, precision=precision)


def _compare(scene: Scene, runs: int) -> list[Result]:
    from safetensors.torch import load_file

    model = bare_model(scene.model)
    with tempfile.TemporaryDirectory(prefix="ensembler-bench-") as place, _one_thread():
        folder = Path(place)
        prepared = prepare(scene, folder, model.state_dict())
        outs = (folder / f"ours{number}" for number in count())
        works: dict[str, Callable[[], float]] = {
            BARE: lambda: _timed(train_bare(model, scene, prepared)),
            OURS: lambda: _timed(_train(scene, prepared, next(outs))),
        }
        seconds = fastest(runs, works)
        ours = load_file(fold_folder(folder / "ours0", 0) / LAST)
        off = _apart(ours, model.cpu().state_dict(), load_file(prepared.begin))
        peak, whose = peak_flops(scene.device, scene.precision)
    close = CLOSE[scene.precision]
    check(off <= close, f"the loops end {off:.2%} of their way from one another, not {close:.2%}")
    images = scene.batch * (scene.steps - UNTIMED)
    share = 100 * images * step_flops(model) / peak
    speeds = [Line(name=name, seconds=s, fact=images / s) for name, s in seconds.items()]
    shares = [Line(name=name, seconds=s, fact=share / s) for name, s in seconds.items()]
    reached = f"{peak / 1e12:.3g} TFLOP/s of {whose}"
    return [
        Result(title=str(scene), lines=tuple(speeds), fact="images / s", decimals=1),
        Result(title=f"MFU, of {reached}", lines=tuple(shares), fact="%", decimals=1),
    ]


def _train(scene: Scene, prepared: Prepared, out: Path) -> list[float]:
    """Train with ours; the times at which its steps were done."""
    done: list[float] = []

    def look(stage: str, *_: int) -> None:
        if stage.endswith("training"):
            done.append(time.perf_counter())

    train(
        "tower",
        recipe=prepared.recipe,
        data=[prepared.table],
        images=prepared.images[0].parent,
        fold=0,
        out=out,
        weights=prepared.begin,
        device="cpu" if scene.device == "cpu" else "auto",
        workers=WORKERS,
        progress=look,
    )
    return done


def _timed(done: list[float]) -> float:
    """The seconds of the timed steps."""
    return done[-1] - done[UNTIMED - 1]


def _apart(ours: Weights, bare: Weights, begin: Weights) -> float:
    """The distance of the loops' final weights, as a share of the distance from the first ones."""
    gap = sum(float((ours[name] - end).square().sum()) for name, end in bare.items())
    way = sum(float((end - begin[name]).square().sum()) for name, end in bare.items())
    return math.sqrt(gap / way)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread for matrix products, as in all benchmarks."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
