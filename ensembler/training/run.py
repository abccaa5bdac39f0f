"""Training from Python: one checkpoint for each fold, and the definition that `dump` takes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from ensembler.errors import InputError, PredictorError, first_few, unknown_name
from ensembler.faults import faults_of
from ensembler.files import locked
from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.batches import PRECISIONS, Precision
from ensembler.predicting.checkpoints import file_digest
from ensembler.predicting.contract import Adapter
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.training.beginning import Given, files_to_begin_with
from ensembler.training.contract import FoldJob, Progress, Trainable, Trained
from ensembler.training.data import TrainingData, load_data
from ensembler.training.recipe import Recipe, load_recipe
from ensembler.training.records import (
    DEFINITION,
    Begun,
    Finished,
    check_begun,
    fold_folder,
    read_finished,
    write_begun,
    write_definition,
    write_finished,
)

NEEDS: Final = ("accelerate", "peft", "pytorch_optimizer", "tensorboard")
WORKERS: Final = 4  # threads that decode
SAVE_STEPS: Final = 1000  # steps between two states to go on from


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What `train` made.

    Attributes:
        definition: the TOML file that `ensembler dump` takes.
        folds: of each fold asked for, its record.
        before: the folds that had been finished before.
    """

    definition: Path
    folds: tuple[Finished, ...]
    before: tuple[int, ...]


def train(
    name: str,
    *,
    recipe: str | Path,
    data: Sequence[str | Path],
    images: str | Path,
    fold: int | Literal["all"],
    out: str | Path,
    weights: Given = None,
    encoder: str | Path | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    processes: int | None = None,
    workers: int = WORKERS,
    save_steps: int = SAVE_STEPS,
    progress: Progress | None = None,
) -> TrainReport:
    """Train a predictor's checkpoints, each without the prompts of its fold.

    Folds that are finished are left as they are; one that was interrupted or killed goes on. On the
    CPU and as many processes, its weights are then those of an uninterrupted run, bit for bit.

    Args:
        name: of an adapter that can be trained.
        recipe: the name of one that comes with ensembler, or a TOML file.
        data: pair tables.
        images: the folder that the images' paths are relative to.
        fold: what is held out; "all" trains one checkpoint for each fold of the data.
        out: the folder to make, or to go on in.
        weights: to begin with: a checkpoint; a mapping, role → file or folder; or the `out` of
            another training, whose best of the same fold is taken. None begins with new weights.
        encoder: a sentence-transformers folder that makes the targets; None takes the one that is
            installed.
        device: "auto" for the GPUs there are, or "cpu".
        precision: of the arithmetic, instead of the recipe's; its digest is then another one.
        processes: how many must be running; None takes whatever there are.
        workers: threads that decode, in each process.
        save_steps: steps between two states to go on from, besides one at every epoch's end.
        progress: called with (stage, done, total).

    Returns:
        What was made.

    Raises:
        InputError: recipe, data or an image is not what it should be, the folder holds another
            training, the loss is no number, or the disk is full.
        PredictorError: the adapter cannot be trained, or its config or weights cannot be used.
    """
    adapter, trainable = find_trainer(name)
    plan, config = _plan(name, adapter, recipe, precision)
    pairs = load_data(data, images)
    folds = pairs.known_folds if fold == "all" else [fold]
    if not folds:
        raise InputError("no prompt is in a fold that could be held out; add a column fold")
    records, before = [], []
    with _alone_in(Path(out)) as place:
        for held_out in folds:
            begin = files_to_begin_with(name, adapter, weights, held_out)
            job = FoldJob(
                recipe=plan,
                config=config,
                data=pairs,
                fold=held_out,
                images=Path(images),
                weights=begin,
                encoder=None if encoder is None else Path(encoder),
                out=fold_folder(place, held_out),
                shared=place,
                digests=_digests(plan, pairs, begin),
                device=device,
                processes=processes,
                workers=workers,
                save_steps=save_steps,
                progress=progress if progress and is_first_process() else _unwatched,
            )
            record = _begin(name, job)
            if record is not None:
                before.append(held_out)
            else:
                record = _finish(name, job, trainable.train(job))
            records.append(record)
        definition = place / DEFINITION
        if is_first_process():
            write_definition(place)
    return TrainReport(definition=definition, folds=tuple(records), before=tuple(before))


def find_trainer(name: str) -> tuple[type[Adapter], Trainable]:
    """An adapter that can be trained, twice: for its config, and for its `train`.

    Args:
        name: as registered.

    Raises:
        PredictorError: nobody registers it, it cannot be trained, or a package is missing.
    """
    adapter = find_adapter(name)
    trainable: object = adapter
    if not isinstance(trainable, Trainable):
        others = [other for other in registered(PREDICTORS) if _can_be_trained(other)]
        raise PredictorError(
            f"{name!r} cannot be trained; those that can: {first_few(others, 20) or 'none'}"
        )
    check_installed(name, adapter)
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        raise PredictorError(
            f"training needs {first_few(missing)}: pip install 'oof-ensembler[training]'"
        )
    return adapter, trainable


def is_first_process() -> bool:
    """Whether this process, of those that a launcher has started, is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def _can_be_trained(name: str) -> bool:
    """Whether it can; a stranger's that cannot even be imported cannot."""
    try:
        adapter: object = find_adapter(name)
    except PredictorError:
        return False
    return isinstance(adapter, Trainable)


@contextmanager
def _alone_in(out: Path) -> Iterator[Path]:
    """The folder, made and locked against other runs; a run's own processes share it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror or error}") from error
    if not is_first_process():
        yield out
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out, wait=False))
        except BlockingIOError as error:
            raise InputError(
                f"another run trains in {out}; wait for it, or name another --out"
            ) from error
        yield out


def _plan(
    name: str, adapter: type[Adapter], recipe: str | Path, precision: Precision | None
) -> tuple[Recipe, Any]:
    """What is done, every key spelt out, and its config as an instance of the adapter's class."""
    plan = load_recipe(recipe)
    if plan.predictor not in (None, name):
        raise InputError(
            f"the recipe {recipe} is written for {plan.predictor!r}, not for {name!r}: train"
            f" {plan.predictor}, or a recipe of your own"
        )
    try:
        config = adapter.Config.model_validate(plan.config, strict=False)
    except ValidationError as error:
        raise PredictorError(f"{recipe}: config: {faults_of(error, adapter.Config)}") from error
    decided: dict[str, Any] = {"config": config.model_dump(mode="json")}
    if precision is not None:
        if precision not in PRECISIONS:
            raise InputError(unknown_name("precision", precision, PRECISIONS))
        decided["precision"] = precision
    return plan.model_copy(update=decided), config


def _digests(recipe: Recipe, data: TrainingData, begin: Mapping[str, Path]) -> dict[str, str]:
    found = {"recipe": recipe.digest, "data": data.digest}
    return found | {role: file_digest(path) for role, path in begin.items()}


def _begin(name: str, job: FoldJob) -> Finished | None:
    """Record what a fold is made from, unless it is there; how it ended, where it has."""
    job.data.check_fold(job.fold)  # before a folder is made for a fold that is none
    begun = Begun(adapter=name, digests=dict(job.digests))
    check_begun(job.shared, job.fold, begun)
    if is_first_process():
        write_begun(job.out, begun)
    return read_finished(job.out)


def _finish(name: str, job: FoldJob, result: Trained) -> Finished:
    record = Finished(
        adapter=name,
        fold=job.fold,
        config=job.recipe.config,
        recipe=job.recipe.model_dump(mode="json"),
        digests=dict(job.digests),
        result=result,
    )
    if is_first_process():
        write_finished(job.out, record)
    return record


def _unwatched(stage: str, done: int, total: int) -> None:
    """Nobody looks on."""
