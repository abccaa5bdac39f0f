"""One fold, from its first step to its last; killed anywhere, it goes on as if it had not been."""

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
from predictors.shared.training.frozen_features import choose_intake
from predictors.shared.training.intake import Loaded
from predictors.shared.training.learner import Learner
from predictors.shared.training.metric_log import MetricLog
from predictors.shared.training.processes import join_processes
from predictors.shared.training.schedule import Phase, phases
from predictors.shared.training.state import (
    Position,
    State,
    load_state,
    save_state,
)
from predictors.shared.training.targets import make_targets, open_targets
from predictors.shared.training.tasks import Task, TaskMaker, vector_task
from predictors.shared.training.validation import drawn_to_judge, held_out_metrics

# Float16's gradients are multiplied by 2**16 at first, and by half as much after each step that was
# left out for them. Where they are no numbers even so far down, no scale makes them any.
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
        model: a `Trainee` with the weights to begin with; changed in place.
        job: how, on what, and where to.
        beside: what else its checkpoint is loaded from: role → path below the job's shared folder.
        make_task: of the model, the prompts' targets, the job and how images are read; what the
            model is trained towards.

    Raises:
        InputError: as `Trainable.train` says.
        PredictorError: the model's vectors are not of the targets' dimension.
    """
    accelerator = join_processes(job)
    try:
        if accelerator.is_main_process:
            make_targets(job)
        accelerator.wait_for_everyone()
        return _Fold(model, job, accelerator, beside, make_task).run()
    except OSError as error:
        raise InputError(
            f"{job.out} cannot be written: {error.strerror or error}; what was saved before is"
            " whole: make room, and the same command goes on from it"
        ) from error


class _Fold:
    """The state of a fold's training."""

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
                f" batch of {self.recipe.batch}; say a smaller batch"
            )
        self.epoch_steps = len(self.learned) // self.recipe.batch
        self.phases = phases(self.recipe, self.epoch_steps)
        self.intake = choose_intake(model, job, self.phases, accelerator)
        self.task: Task = make_task(model, open_targets(job.shared), job, self.intake)
        self.learner = Learner(model, self.recipe, accelerator, self.intake, self.task)
        self.judged = drawn_to_judge(self.held_out, self.recipe.validate_images, self.recipe.seed)
        self.step = 0
        self.scores: tuple[float, ...] = ()

    def run(self) -> Trained:
        """All steps that are left."""
        self._restore()
        self.accelerator.wait_for_everyone()  # the first one may be done with what is read here
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
        """The steps of an epoch that are left, its score, its checkpoints."""
        epoch, begun = divmod(self.step, self.epoch_steps)
        steps = epoch_order(
            len(self.learned), self.recipe.batch, seed=self.recipe.seed, epoch=epoch
        )[begun:]
        draws = partial(self._draws, epoch)
        loaded = self.intake.load(
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
            self.intake,
            self.accelerator,
            batch=self.recipe.batch // (self.recipe.accumulate * self.accelerator.num_processes),
            precision=self.recipe.precision,
            progress=partial(self.job.progress, f"fold {self.job.fold}: validating"),
        )
        score = metrics["mean_cosine"]
        if not np.isfinite(score):
            raise InputError(
                f"the vectors of what is held out are no numbers after epoch {epoch}; begin"
                " anew in another --out with a lower learning rate, or --precision float32"
            )
        best = score > max(self.scores, default=-np.inf)
        self.scores += (score,)
        log.write(step=self.step, epoch=epoch, **metrics)
        if self.accelerator.is_main_process:
            for name in (BEST, LAST) if best else (LAST,):
                write_checkpoint(self.learner.model, self.learner.weights(), self.job.out / name)
        self._save(log)

    def _learn(self, batch: Batch, images: Loaded, epoch: int, log: MetricLog) -> None:
        """One step."""
        phase = self._phase(self.step)
        if phase.first == self.step:
            self.learner.enter(phase)
        processes, here = self.accelerator.num_processes, self.accelerator.process_index
        rows = np.array([one.row for one in batch]).reshape(self.recipe.accumulate, processes, -1)
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
                what = f"are no numbers in float16, not even times {before:g}"
                raise self._stop(
                    batch, epoch, "gradients", what, "--precision float32, or bfloat16,"
                )
            metrics |= {"scale": before, "skipped": scale < before}
        log.write(step=self.step + 1, epoch=epoch, **metrics)
        self.step += 1
        size = self.recipe.batch
        self.job.progress(
            f"fold {self.job.fold}: training", self.step * size, self.phases[-1].last * size
        )

    def _stop(self, batch: Batch, epoch: int, whose: str, what: str, remedy: str) -> InputError:
        """The error of a batch that nothing can be learned from."""
        return InputError(
            f"the {whose} of step {self.step + 1}, epoch {epoch}, {what}; its images are"
            f" {first_few((one.image for one in batch), len(batch))}. Look at them, or say {remedy}"
            " and another --out; what was saved is whole"
        )

    def _draws(self, epoch: int, numbers: NDArray[np.int64]) -> Batch:
        """What a step learns from."""
        seed = self.recipe.seed
        return [draw(self.learned, int(number), seed=seed, epoch=epoch) for number in numbers]

    def _own(self, batch: Batch) -> Batch:
        """This process's share of every part of a batch, part after part."""
        processes, here = self.accelerator.num_processes, self.accelerator.process_index
        shares = np.arange(len(batch)).reshape(self.recipe.accumulate, processes, -1)
        return [batch[number] for number in shares[:, here].ravel()]

    def _phase(self, step: int) -> Phase:
        return next(phase for phase in self.phases if step < phase.last)

    def _restore(self) -> None:
        """Go on from the state that is there; a phase that begins with the next step is left to it.

        Steps that were done after that state are done again, with the same outcome.
        """
        saved = load_state(self.job.out)
        if saved is None:
            return
        position = saved.position
        self.step, self.scores = position.step, position.scores
        self.learner.enter(self._phase(self.step - 1))
        self.learner.restore(saved.tensors, position.optimiser, position.scaler)

    def _save(self, log: MetricLog) -> None:
        if not self.accelerator.is_main_process:
            return
        log.flush()
        tensors, numbers, scaler = self.learner.state()
        position = Position(step=self.step, scores=self.scores, optimiser=numbers, scaler=scaler)
        save_state(self.job.out, State(position, tensors))
