"""How good a model is on what was held out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from ensembler.metrics import paired_cosine
from ensembler.predicting.batches import Precision
from ensembler.training.data import Examples
from predictors.shared.pixels import to_tensor
from predictors.shared.training.draws import Draw
from predictors.shared.training.learner import autocast
from predictors.shared.training.loading import load_batches


def held_out_score(
    model: torch.nn.Module,
    examples: Examples,
    targets: NDArray[np.float32],
    folder: Path,
    accelerator: Accelerator,
    *,
    batch: int,
    precision: Precision,
    workers: int,
    progress: Callable[[int, int], None],
) -> float:
    """The mean cosine over prompts, the first image of each, not augmented.

    Args:
        model: from pixels to vectors.
        examples: the prompts.
        targets: of all prompts.
        folder: of the images.
        accelerator: the processes that share the work.
        batch: images at once in each.
        precision: of the arithmetic.
        workers: threads that decode.
        progress: called with prompts done and in all.

    Returns:
        The same in every process.
    """
    model.eval()
    share = range(accelerator.process_index, len(examples), accelerator.num_processes)
    draws = [Draw(int(examples.rows[number]), examples.images[number][0], 0) for number in share]
    batches = [draws[first : first + batch] for first in range(0, len(draws), batch)]
    total, done = 0.0, 0
    loaded = load_batches(batches, folder, model.preprocess, None, workers=workers)
    with closing(loaded), torch.no_grad():
        for drawn, images in zip(batches, loaded, strict=True):
            with autocast(precision, accelerator.device):
                vectors = model(to_tensor(images, model.preprocess, accelerator.device))
            rows = targets[[one.row for one in drawn]]
            total += float(paired_cosine(vectors.float().cpu().numpy(), rows).sum())
            done += len(drawn) * accelerator.num_processes
            progress(min(done, len(examples)), len(examples))
    summed = torch.tensor(total, dtype=torch.float64, device=accelerator.device)
    return float(accelerator.reduce(summed, "sum")) / len(examples)
