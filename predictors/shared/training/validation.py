"""Validation: the metrics of a model on the held-out prompts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch
from accelerate import Accelerator

from ensembler.metrics import paired_cosine
from ensembler.predicting.batches import Precision, autocast
from ensembler.training.data import Examples
from predictors.shared.training.draws import Draw
from predictors.shared.training.inputs import InputReader
from predictors.shared.training.tasks import Task


def draw_validation(examples: Examples, count: int | None, seed: int) -> Examples:
    """Draw the prompts that every epoch is validated on.

    Args:
        examples: all held-out prompts.
        count: how many to draw; all for None, or if there are no more.
        seed: seed of the recipe.
    """
    if count is None or count >= len(examples):
        return examples
    drawn = np.sort(np.random.default_rng(seed).permutation(len(examples))[:count])
    return Examples(examples.data, examples.rows[drawn])


def held_out_metrics(
    model: torch.nn.Module,
    task: Task,
    examples: Examples,
    reader: InputReader,
    accelerator: Accelerator,
    *,
    batch: int,
    precision: Precision,
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Compute a model's metrics over prompts, from the first image of each, not augmented.

    Args:
        model: a `Trainee`.
        task: the task that it is trained for.
        examples: the prompts.
        reader: reads the images.
        accelerator: the processes that share the work.
        batch: images per batch in each process.
        precision: precision of the arithmetic.
        progress: called with prompts done and in all.

    Returns:
        `mean_cosine` with the targets and, for captioners, `nll`, the negative log-likelihood per
        token of the prompts; the same in every process.
    """
    model.eval()
    share = range(accelerator.process_index, len(examples), accelerator.num_processes)
    draws = [Draw(int(examples.rows[number]), examples.images(number)[0], 0) for number in share]
    batches = [draws[first : first + batch] for first in range(0, len(draws), batch)]
    sums, done = np.zeros(3), 0  # of cosines, of nll, of tokens
    loaded = reader.load(batches, None)
    with closing(loaded), torch.no_grad():
        for drawn, images in zip(batches, loaded, strict=True):
            rows = np.array([draw.row for draw in drawn])
            with autocast(precision, accelerator.device):
                judged = task.judged(model, images, rows, accelerator.device)
            cosines = paired_cosine(judged.vectors, task.targets.vectors[rows])
            sums += cosines.sum(), judged.nll, judged.tokens
            done += len(drawn) * accelerator.num_processes
            progress(min(done, len(examples)), len(examples))
    totals = accelerator.reduce(torch.from_numpy(sums).to(accelerator.device), "sum")
    cosine, nll, tokens = totals.tolist()
    metrics = {"mean_cosine": cosine / len(examples)}
    return metrics | {"nll": nll / tokens} if tokens else metrics
