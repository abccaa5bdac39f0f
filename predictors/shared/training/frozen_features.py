"""Features of all images from a frozen tower: one file that the heads of all folds learn from."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch
from accelerate import Accelerator

from ensembler.arrays import map_array
from ensembler.files import atomic_write, sha256_json
from ensembler.images.identity import file_identities
from ensembler.predicting.batches import autocast
from ensembler.training.contract import FoldJob
from predictors.shared.headed import Headed
from predictors.shared.pixels import to_tensor
from predictors.shared.training.draws import Draw
from predictors.shared.training.inputs import FeatureReader, InputReader, PixelReader
from predictors.shared.training.loading import load_batches
from predictors.shared.training.schedule import Phase, is_head_only

STAGE: Final = "computing features"


def choose_reader(
    model: Any,  # noqa: ANN401 - a Trainee
    job: FoldJob,
    phases: tuple[Phase, ...],
    accelerator: Accelerator,
) -> InputReader:
    """Read features where the tower is frozen throughout and images are not augmented, else pixels.

    Args:
        model: a `Trainee` with its initial weights; moved to its device if features are made.
        job: the fold's job.
        phases: phases of its recipe.
        accelerator: the processes that share the work.

    Raises:
        InputError: an image cannot be read.
        OSError: the features cannot be written.
    """
    recipe = job.recipe
    frozen = is_head_only(phases) and recipe.augment is None and not recipe.reinitialise
    if not (frozen and isinstance(model, Headed)):
        return PixelReader(folder=job.images, preprocess=model.preprocess, workers=job.workers)
    images = sorted(set(job.data.images.to_pylist()))
    path = job.shared / f"features-{_key(job, images)}.npy"
    if not path.exists():  # no process sees it before all have taken part
        _make(path, images, model, job, accelerator)
        accelerator.wait_for_everyone()
    table = map_array(path)
    return FeatureReader(table=table, rows={image: row for row, image in enumerate(images)})


def _key(job: FoldJob, images: list[str]) -> str:
    """A digest of all that decides the features: recipe, data, initial weights, image files."""
    identities = file_identities([job.images / image for image in images])
    return sha256_json([dict(job.digests), images, identities])[:16]


def _make(
    path: Path,
    images: list[str],
    model: Headed,
    job: FoldJob,
    accelerator: Accelerator,
) -> None:
    """Compute and write the features: each process its part of a batch; the first one writes."""
    device, recipe = accelerator.device, job.recipe
    model.to(device).eval()
    share = recipe.batch // (recipe.accumulate * accelerator.num_processes)
    step, place = share * accelerator.num_processes, share * accelerator.process_index
    # The last batch is padded with the last image: all processes must have equally many.
    parts = [
        [Draw(-1, images[min(row, len(images) - 1)], 0) for row in range(start, start + share)]
        for start in range(place, len(images) + place, step)
    ]
    loaded = load_batches(parts, job.images, model.preprocess, None, workers=job.workers)
    writes = accelerator.is_main_process
    with closing(loaded), atomic_write(path) if writes else nullcontext() as file, torch.no_grad():
        for number, pixels in enumerate(loaded):
            with autocast(recipe.precision, device):
                features = model.features(to_tensor(pixels, model.preprocess, device))
            rows = accelerator.gather(features.float().contiguous()).cpu().numpy()
            remaining = len(images) - number * step
            if file is not None:
                if not number:
                    _write_header(file, len(images), rows.shape[1])
                file.write(rows[:remaining].astype("<f4").tobytes())
            job.progress(STAGE, len(images) - max(remaining - step, 0), len(images))


def _write_header(file: BinaryIO, rows: int, width: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, header)
