"""Training from Python: one checkpoint for each fold, and the definition that `dump` takes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from pydantic import ValidationError

from ensembler.errors import InputError, PredictorError, first_few
from ensembler.faults import faults_of
from ensembler.files import locked
from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.batches import Precision, check_precision
from ensembler.predicting.checkpoints import file_digest
from ensembler.predicting.contract import Adapter
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.training.contract import (
    FoldJob,
    Progress,
    Trainable,
    TrainableAdapter,
    Trained,
)
from ensembler.training.data import TrainingData, load_data
from ensembler.training.initial_weights import Given, initial_files
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
WORKERS: Final = 4  # decoding threads
SAVE_STEPS: Final = 1000  # steps between saved states


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """The result of `train`.

    Attributes:
        definition: the TOML file that `ensembler dump` takes.
        folds: records of the requested folds.
        before: the folds that were finished before.
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
    finished: Callable[[Finished], None] | None = None,
) -> TrainReport:
    """Train a predictor's checkpoints, each without the prompts of its fold.

    Finished folds are left as they are; one that was interrupted or killed is resumed. On the CPU
    and in as many processes, its weights equal those of an uninterrupted run, bit for bit.

    Args:
        name: name of an adapter that can be trained.
        recipe: the name of one that comes with ensembler, or a TOML file.
        data: pair tables.
        images: the folder that the images' paths are relative to.
        fold: the fold to hold out; "all" trains one checkpoint for each fold of the data.
        out: the folder to make, or to resume in.
        weights: weights to begin with: a checkpoint; a mapping, role → file or folder; or the `out`
            of another training, whose best checkpoint of the same fold is taken. None begins with
            new weights.
        encoder: a sentence-transformers folder that makes the targets; None takes the installed
            encoder.
        device: "auto" for the GPUs there are, or "cpu".
        precision: precision of the arithmetic, in place of the recipe's, whose digest it changes.
        processes: number of processes that must be running; None accepts any.
        workers: decoding threads in each process.
        save_steps: steps between saved states, besides one at the end of every epoch.
        progress: called with (stage, done, total).
        finished: called with the record of each fold as soon as it is trained.

    Returns:
        The definition and the record of each fold.

    Raises:
        InputError: recipe, data or an image is not valid, the folder holds another training, the
            loss is not finite, or the disk is full.
        PredictorError: the adapter cannot be trained, or its config or weights cannot be used.
    """
    adapter = find_trainer(name)
    plan, config = _plan(name, adapter, recipe, precision)
    pairs = load_data(data, images)
    folds = pairs.known_folds if fold == "all" else [fold]
    if not folds:
        raise InputError("no prompt is in a fold that can be held out; add a column fold")
    records, before = [], []
    with _alone_in(Path(out)) as place:
        for held_out in folds:
            begin = initial_files(name, adapter, weights, held_out)
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
                record = _finish(name, job, adapter.train(job))
                if finished and is_first_process():
                    finished(record)
            records.append(record)
        definition = place / DEFINITION
        if is_first_process():
            write_definition(place)
    return TrainReport(definition=definition, folds=tuple(records), before=tuple(before))


def find_trainer(name: str) -> type[TrainableAdapter]:
    """Find an adapter that can be trained.

    Args:
        name: its registered name.

    Raises:
        PredictorError: no package registers it, it cannot be trained, or a package is missing.
    """
    adapter = find_adapter(name)
    if not _can_be_trained(adapter):
        others = [other for other in registered(PREDICTORS) if _is_trainable(other)]
        raise PredictorError(
            f"{name!r} cannot be trained; those that can: {first_few(others, 20) or 'none'}"
        )
    check_installed(name, adapter)
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        raise PredictorError(
            f"training needs {first_few(missing)}: pip install 'oof-ensembler[training]'"
        )
    return cast(type[TrainableAdapter], adapter)


def is_first_process() -> bool:
    """Whether this process, of those that a launcher has started, is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def _is_trainable(name: str) -> bool:
    """Whether a registered adapter can be imported and trained."""
    try:
        return _can_be_trained(find_adapter(name))
    except PredictorError:
        return False


def _can_be_trained(adapter: object) -> bool:
    return isinstance(adapter, Trainable)


@contextmanager
def _alone_in(out: Path) -> Iterator[Path]:
    """Make the folder and lock it against other runs; the processes of one run share it."""
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
    """The recipe with every key of its config, and the config as the adapter's class."""
    plan = load_recipe(recipe)
    if plan.predictor not in (None, name):
        raise InputError(
            f"the recipe {recipe} is written for {plan.predictor!r}, not for {name!r}: train"
            f" {plan.predictor}, or write a recipe of your own"
        )
    try:
        config = adapter.Config.model_validate(plan.config, strict=False)
    except ValidationError as error:
        raise PredictorError(f"{recipe}: config: {faults_of(error, adapter.Config)}") from error
    decided: dict[str, Any] = {"config": config.model_dump(mode="json")}
    if precision is not None:
        decided["precision"] = check_precision(precision)
    return plan.model_copy(update=decided), config


def _digests(recipe: Recipe, data: TrainingData, begin: Mapping[str, Path]) -> dict[str, str]:
    digests = {"recipe": recipe.digest, "data": data.digest}
    return digests | {role: file_digest(path) for role, path in begin.items()}


def _begin(name: str, job: FoldJob) -> Finished | None:
    """Record the inputs of a fold; return its record where it is finished."""
    job.data.check_fold(job.fold)  # before a folder is made for a fold that does not exist
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
    """Report nothing."""
