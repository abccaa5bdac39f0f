"""How good a model is on what was held out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch
from accelerate import Accelerator

from ensembler.metrics import paired_cosine
from ensembler.predicting.batches import Precision
from ensembler.training.data import Examples
from predictors.shared.training.draws import Draw
from predictors.shared.training.intake import Intake
from predictors.shared.training.learner import autocast
from predictors.shared.training.tasks import Task


def drawn_to_judge(examples: Examples, count: int | None, seed: int) -> Examples:
    """The prompts that every epoch is judged by.

    Args:
        examples: all that are held out.
        count: how many of them; all, where there are no more, or for None.
        seed: of the recipe.
    """
    if count is None or count >= len(examples):
        return examples
    drawn = np.sort(np.random.default_rng(seed).permutation(len(examples))[:count])
    return Examples(
        rows=examples.rows[drawn],
        keys=[examples.keys[number] for number in drawn],
        images=[examples.images[number] for number in drawn],
    )


def held_out_metrics(
    model: torch.nn.Module,
    task: Task,
    examples: Examples,
    intake: Intake,
    accelerator: Accelerator,
    *,
    batch: int,
    precision: Precision,
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """How good a model is over prompts, the first image of each, not augmented.

    Args:
        model: a Trainee.
        task: what it is trained towards.
        examples: the prompts.
        intake: reads the images.
        accelerator: the processes that share the work.
        batch: images at once in each.
        precision: of the arithmetic.
        progress: called with prompts done and in all.

    Returns:
        `mean_cosine` with the targets and, of what says texts, `nll`, the negative log-likelihood
        of a token of the prompts; the same in every process.
    """
    model.eval()
    share = range(accelerator.process_index, len(examples), accelerator.num_processes)
    draws = [Draw(int(examples.rows[number]), examples.images[number][0], 0) for number in share]
    batches = [draws[first : first + batch] for first in range(0, len(draws), batch)]
    sums, done = np.zeros(3), 0  # of cosines, of nll, of tokens
    loaded = intake.load(batches, None)
    with closing(loaded), torch.no_grad():
        for drawn, images in zip(batches, loaded, strict=True):
            rows = np.array([one.row for one in drawn])
            with autocast(precision, accelerator.device):
                found = task.judged(model, images, rows, accelerator.device)
            cosines = paired_cosine(found.vectors, task.targets.vectors[rows])
            sums += cosines.sum(), found.nll, found.tokens
            done += len(drawn) * accelerator.num_processes
            progress(min(done, len(examples)), len(examples))
    everyones = accelerator.reduce(torch.from_numpy(sums).to(accelerator.device), "sum")
    cosine, nll, tokens = everyones.tolist()
    metrics = {"mean_cosine": cosine / len(examples)}
    return metrics | {"nll": nll / tokens} if tokens else metrics
