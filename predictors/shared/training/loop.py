"""Training of one fold: steps, epochs, checkpoints; after a kill it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from ensembler.errors import InputError, first_few
from ensembler.training.contract import BEST, LAST, METRICS, FoldJob, Trained
from ensembler.training.data import Examples
from predictors.shared.training.checkpoints import checkpoint_files, write_checkpoint
from predictors.shared.training.draws import Draw, draw, epoch_order
from predictors.shared.training.frozen_features import choose_reader
from predictors.shared.training.inputs import Loaded
from predictors.shared.training.learner import Learner
from predictors.shared.training.metric_log import MetricLog
from predictors.shared.training.processes import awaiting_first, join_processes
from predictors.shared.training.schedule import Phase, phases
from predictors.shared.training.state import (
    Position,
    TrainingState,
    load_training_state,
    save_training_state,
)
from predictors.shared.training.targets import make_targets, open_targets
from predictors.shared.training.tasks import Task, TaskMaker, vector_task
from predictors.shared.training.validation import draw_validation, held_out_metrics

# Float16's gradients are multiplied by 2**16 at first, and by half as much after each skipped step.
# Where they are not finite even at this scale, no scale helps.
LOWEST_SCALE: Final = 2.0**-10

Batch = list[Draw]


def train_fold(
    model: torch.nn.Module,
    job: FoldJob,
    beside: Mapping[str, str] = MappingProxyType({}),
    make_task: TaskMaker = vector_task,
) -> Trained:
    """Train a model; see `Trainable.train`.

    Args:
        model: a `Trainee` with its initial weights, the same whenever the fold is resumed: a state
            leaves out those that stay frozen. Changed in place.
        job: the fold's job.
        beside: other files that its checkpoint is loaded from: role → path below the job's shared
            folder.
        make_task: makes the task from the model, the prompts' targets, the job and the reader.

    Raises:
        InputError: see `Trainable.train`.
        PredictorError: the model's vectors are not of the targets' dimension.
    """
    accelerator = join_processes(job)
    try:
        with awaiting_first():
            if accelerator.is_main_process:
                make_targets(job)
        return _Fold(model, job, accelerator, beside, make_task).run()
    except OSError as error:
        raise InputError(
            f"{job.out} cannot be written: {error.strerror or error}; what was saved before is"
            " intact: free space, and the same command resumes from it"
        ) from error


class _Fold:
    """The training of one fold."""

    def __init__(
        self,
        model: torch.nn.Module,
        job: FoldJob,
        accelerator: Accelerator,
        beside: Mapping[str, str],
        make_task: TaskMaker,
    ) -> None:
        self.beside = beside
        self.job, self.recipe, self.accelerator = job, job.recipe, accelerator
        self.learned: Examples = job.data.without(job.fold)
        self.held_out: Examples = job.data.held_out(job.fold)
        if len(self.learned) < self.recipe.batch:
            raise InputError(
                f"fold {job.fold} leaves {len(self.learned)} prompts to learn from, fewer than a"
                f" batch of {self.recipe.batch}; set a smaller batch"
            )
        self.epoch_steps = len(self.learned) // self.recipe.batch
        self.phases = phases(self.recipe, self.epoch_steps)
        self.reader = choose_reader(model, job, self.phases, accelerator)
        self.task: Task = make_task(model, open_targets(job.shared), job, self.reader)
        self.learner = Learner(model, self.recipe, accelerator, self.reader, self.task)
        self.judged = draw_validation(self.held_out, self.recipe.validate_images, self.recipe.seed)
        self.step = 0
        self.scores: tuple[float, ...] = ()

    def run(self) -> Trained:
        """Take all remaining steps."""
        self._restore()
        self.accelerator.wait_for_everyone()  # the first one may remove states
        log_at = self.job.out / METRICS if self.accelerator.is_main_process else None
        with MetricLog(log_at, steps=self.step) as log:
            while self.step < self.phases[-1].last:
                self._epoch(log)
        best = int(np.argmax(self.scores))
        return Trained(
            best_score=self.scores[best],
            best_epoch=best,
            scores=self.scores,
            steps=self.step,
            trained=len(self.learned),
            held_out=len(self.held_out),
            judged=len(self.judged),
            cut=self.task.cut,
            processes=self.accelerator.num_processes,
            files=checkpoint_files(self.learner.model, self.job.out / BEST) | dict(self.beside),
            encoder=self.task.targets.encoder,
            preprocess=self.learner.model.preprocess,
        )

    def _epoch(self, log: MetricLog) -> None:
        """Take the remaining steps of an epoch, validate, and write its checkpoints."""
        epoch, begun = divmod(self.step, self.epoch_steps)
        steps = epoch_order(
            len(self.learned), self.recipe.batch, seed=self.recipe.seed, epoch=epoch
        )[begun:]
        draws = partial(self._draws, epoch)
        loaded = self.reader.load(
            (self._own(draws(numbers)) for numbers in steps), self.recipe.augment
        )
        with closing(loaded):
            for numbers, images in zip(steps, loaded, strict=True):
                self._learn(draws(numbers), images, epoch, log)
                if self.step % self.job.save_steps == 0 and self.step % self.epoch_steps:
                    self._save(log)
        metrics = held_out_metrics(
            self.learner.judged,
            self.task,
            self.judged,
            self.reader,
            self.accelerator,
            batch=self.recipe.batch // (self.recipe.accumulate * self.accelerator.num_processes),
            precision=self.recipe.precision,
            progress=partial(self.job.progress, f"fold {self.job.fold}: validating"),
        )
        score = metrics["mean_cosine"]
        if not np.isfinite(score):
            raise InputError(
                f"the vectors of held-out images are not finite after epoch {epoch}; train again in"
                " another --out with a lower learning rate, or with --precision float32"
            )
        best = score > max(self.scores, default=-np.inf)
        self.scores += (score,)
        log.write(step=self.step, epoch=epoch, **metrics)
        if self.accelerator.is_main_process:
            for name in (BEST, LAST) if best else (LAST,):
                write_checkpoint(self.learner.model, self.learner.weights(), self.job.out / name)
        self._save(log)

    def _learn(self, batch: Batch, images: Loaded, epoch: int, log: MetricLog) -> None:
        """Take one step and log it."""
        phase = self._phase(self.step)
        if phase.first == self.step:
            self.learner.enter(phase)
        processes, here = self.accelerator.num_processes, self.accelerator.process_index
        rows = np.array([drawn.row for drawn in batch]).reshape(
            self.recipe.accumulate, processes, -1
        )
        before = self.learner.scale
        loss = self.learner.learn(self.step, images, self.task.aim(rows, here))
        rate, scale = phase.rate(self.step), self.learner.scale
        if not np.isfinite(loss):
            raise self._stop(
                batch, epoch, "loss", f"is {loss}", f"a lower learning rate than {rate:g}"
            )
        metrics = {"lr": rate, "loss": loss}
        if before is not None and scale is not None:
            if scale < LOWEST_SCALE:
                what = f"are not finite in float16, even with a scale of {before:g}"
                raise self._stop(batch, epoch, "gradients", what, "--precision float32 or bfloat16")
            metrics |= {"scale": before, "skipped": scale < before}
        log.write(step=self.step + 1, epoch=epoch, **metrics)
        self.step += 1
        size = self.recipe.batch
        self.job.progress(
            f"fold {self.job.fold}: training", self.step * size, self.phases[-1].last * size
        )

    def _stop(self, batch: Batch, epoch: int, whose: str, what: str, remedy: str) -> InputError:
        """The error of a batch whose loss or gradients are not finite."""
        return InputError(
            f"the {whose} of step {self.step + 1}, epoch {epoch}, {what}; its images are"
            f" {first_few((drawn.image for drawn in batch), len(batch))}. Look at them, or set"
            f" {remedy} and another --out; what was saved is intact"
        )

    def _draws(self, epoch: int, numbers: NDArray[np.int64]) -> Batch:
        """The draws of a step."""
        seed = self.recipe.seed
        return [draw(self.learned, int(number), seed=seed, epoch=epoch) for number in numbers]

    def _own(self, batch: Batch) -> Batch:
        """This process's draws of every part of a batch, part after part."""
        processes, here = self.accelerator.num_processes, self.accelerator.process_index
        shares = np.arange(len(batch)).reshape(self.recipe.accumulate, processes, -1)
        return [batch[number] for number in shares[:, here].ravel()]

    def _phase(self, step: int) -> Phase:
        return next(phase for phase in self.phases if step < phase.last)

    def _restore(self) -> None:
        """Resume from the saved state; the next step enters a phase that begins with it.

        Steps taken after that state are taken again, with the same result.
        """
        saved = load_training_state(self.job.out)
        if saved is None:
            return
        position = saved.position
        self.step, self.scores = position.step, position.scores
        self.learner.enter(self._phase(self.step - 1))
        if position.frozen not in (None, self.learner.frozen):
            raise InputError(
                f"{self.job.out} was started with other frozen weights: their digest is"
                f" {position.frozen} there, and {self.learner.frozen} here; give the same weights"
                " and packages again, or name another --out"
            )
        self.learner.restore(saved.tensors, position.optimiser, position.scaler)

    def _save(self, log: MetricLog) -> None:
        if not self.accelerator.is_main_process:
            return
        log.flush()
        tensors, numbers, scaler = self.learner.state()
        position = Position(
            step=self.step,
            scores=self.scores,
            optimiser=numbers,
            scaler=scaler,
            frozen=self.learner.frozen,
        )
        save_training_state(self.job.out, TrainingState(position, tensors))
