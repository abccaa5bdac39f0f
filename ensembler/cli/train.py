"""`ensembler train`: train a predictor's checkpoints, one for each fold."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from ensembler.cli.interrupting import resumable
from ensembler.cli.main import INTERRUPTED
from ensembler.cli.options import encoder_option, json_option
from ensembler.cli.output import print_json
from ensembler.errors import EnsemblerError
from ensembler.predicting.batches import PRECISIONS, Precision

if TYPE_CHECKING:
    from ensembler.training.records import Finished
    from ensembler.training.run import TrainReport

FIRST_REPORTS_S: Final = 30.0  # by then the first process has met the same error
ROLE: Final = re.compile(r"(?P<role>[a-z_]+)=(?P<path>.+)")  # ./a=b is a path


def _fold(_: click.Context, __: click.Parameter, given: str) -> int | Literal["all"]:
    """A fold's number, or all."""
    if given == "all":
        return "all"
    if not given.isdecimal():
        raise click.BadParameter(f"{given!r} is not a fold; give its number, or all")
    return int(given)


def _begin_with(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> Path | Mapping[str, Path] | None:
    """A single path, or one for each role."""
    named = [ROLE.match(text) for text in given]
    if len(given) == 1 and named[0] is None:
        return Path(given[0])
    paths = {match["role"]: Path(match["path"]) for match in named if match is not None}
    if len(paths) < len(given):
        raise click.BadParameter("several paths need their roles: ROLE=PATH, each role once")
    return paths or None


@click.command()
@click.argument("name")
@click.option(
    "--recipe",
    required=True,
    metavar="NAME|FILE",
    type=click.Path(path_type=Path),
    help="Recipe to train by: one of `recipe list`, or a TOML file.",
)
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Table of image, prompt and fold: .tsv, .csv or .parquet; repeatable.",
)
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the images, named by path below it or by id.",
)
@click.option(
    "--fold",
    required=True,
    callback=_fold,
    metavar="K|all",
    help="Fold to hold out; all trains one checkpoint for each fold.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the training to make, or to go on in.",
)
@click.option(
    "--weights",
    multiple=True,
    callback=_begin_with,
    metavar="[ROLE=]PATH",
    show_default="new ones",
    help="Weights to begin with: a checkpoint, or another training's folder, for its best of the"
    " fold. A predictor of several files takes one for each role: tower=FILE.",
)
@encoder_option
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu"]),
    default="auto",
    show_default=True,
    help="Device to train on; auto takes the GPUs there are.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    show_default="the recipe's",
    help="Precision of the arithmetic; float16 needs a GPU.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="any",
    help="Number of processes that must be running; start them with torchrun.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="Number of threads that decode images, in each process.",
)
@click.option(
    "--save-steps",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Number of steps between saved states; each epoch's end saves one, too.",
)
@json_option
def train(
    name: str,
    recipe: Path,
    data: tuple[Path, ...],
    images: Path,
    fold: int | Literal["all"],
    out: Path,
    weights: Path | Mapping[str, Path] | None,
    encoder: Path | None,
    device: str,
    precision: Precision | None,
    processes: int | None,
    workers: int,
    save_steps: int,
    as_json: bool,
) -> None:
    """Train predictor NAME, without the prompts of each fold, on one image per prompt and epoch.

    Writes OUT/predictor.toml, which `ensembler dump` takes, and for each fold the best and the last
    checkpoint, a record, and metrics as JSON lines and for TensorBoard. Finished folds are skipped;
    the same command goes on after an interruption.
    """
    from ensembler.training.run import is_first_process
    from ensembler.training.run import train as train_folds

    with resumable(unit="images") if is_first_process() else _others() as advance:
        report = train_folds(
            name,
            recipe=recipe,
            data=data,
            images=images,
            fold=fold,
            out=out,
            weights=weights,
            encoder=encoder,
            device=device,
            precision=precision,
            processes=processes,
            workers=workers,
            save_steps=save_steps,
            progress=advance,
            finished=_fold_reporter() if fold == "all" else None,
        )
    if not is_first_process():
        return
    if as_json:
        print_json(_document(report))
    else:
        click.echo(_summary(report))


@contextmanager
def _others() -> Iterator[None]:
    """Keep a process other than the first silent about errors that the first one reports.

    An error that all meet ends the first one, and torchrun then ends those that wait here. A
    process that survives the wait has failed alone, and reports its error.
    """
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except EnsemblerError:
        time.sleep(FIRST_REPORTS_S)
        raise


def _fold_reporter() -> Callable[[Finished], None]:
    """Make a function that reports each fold's score and seconds on stderr."""
    since = time.monotonic()

    def report(record: Finished) -> None:
        nonlocal since
        seconds, since = time.monotonic() - since, time.monotonic()
        score = record.result.best_score
        # By print, which rich brings above its bars; click.echo would write into them.
        print(f"fold {record.fold}: {score:.4f} after {seconds:,.0f} s", file=sys.stderr)

    return report


def _document(report: TrainReport) -> dict[str, object]:
    return {
        "definition": str(report.definition),
        "folds": {
            str(record.fold): {
                "score": record.result.best_score,
                "best_epoch": record.result.best_epoch,
                "scores": record.result.scores,
                "steps": record.result.steps,
                "trained": record.result.trained,
                "held_out": record.result.held_out,
                "judged": record.result.judged,
                "cut": record.result.cut,
                "processes": record.result.processes,
                "finished_before": record.fold in report.before,
            }
            for record in report.folds
        },
    }


def _summary(report: TrainReport) -> str:
    lines = []
    for record in report.folds:
        result = record.result
        before = ", finished before" if record.fold in report.before else ""
        lines.append(
            f"fold {record.fold}: {result.best_score:.4f} over {result.judged} held-out prompts"
            f" (best epoch: {result.best_epoch + 1} of {len(result.scores)}){before}"
        )
    return "\n".join([*lines, f"wrote {report.definition}"])
