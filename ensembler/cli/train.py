"""`ensembler train`: a predictor's checkpoints, one for each fold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from ensembler.cli.options import json_option
from ensembler.predicting.batches import PRECISIONS, Precision

if TYPE_CHECKING:
    from ensembler.training.run import TrainReport

ROLE: Final = re.compile(r"(?P<role>[a-z_]+)=(?P<path>.+)")  # ./a=b is a path


def _fold(_: click.Context, __: click.Parameter, given: str) -> int | Literal["all"]:
    """A fold's number, or all."""
    if given == "all":
        return "all"
    if not given.isdecimal():
        raise click.BadParameter(f"{given!r} is no fold; give its number, or all")
    return int(given)


def _begin_with(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> Path | Mapping[str, Path] | None:
    """A path alone, or one for each role."""
    named = [ROLE.match(one) for one in given]
    if len(given) == 1 and named[0] is None:
        return Path(given[0])
    found = {one["role"]: Path(one["path"]) for one in named if one is not None}
    if len(found) < len(given):
        raise click.BadParameter("several are told apart by their roles: ROLE=PATH, each role once")
    return found or None


@click.command()
@click.argument("name")
@click.option(
    "--recipe",
    required=True,
    metavar="NAME|FILE",
    type=click.Path(path_type=Path),
    help="What is trained and how: a recipe that comes with ensembler, or a TOML file.",
)
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Pairs: image, prompt, fold (.tsv, .csv, .parquet); may be given several times.",
)
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the images, named by path below it or by id.",
)
@click.option(
    "--fold",
    required=True,
    callback=_fold,
    metavar="K|all",
    help="What is held out; all trains one checkpoint for each fold.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder to make, or to go on in.",
)
@click.option(
    "--weights",
    multiple=True,
    callback=_begin_with,
    metavar="[ROLE=]PATH",
    help="To begin with: a checkpoint, or another training's folder, for its best of the fold. A"
    " predictor of several files takes one for each role: tower=FILE.",
)
@click.option(
    "--encoder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A sentence-transformers folder for the targets; default: the MiniLM that is installed.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu"]),
    default="auto",
    show_default=True,
    help="auto takes the GPUs there are.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="Of the arithmetic, instead of the recipe's; float16 needs a GPU.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Refuse to run in another number; start them with torchrun.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Threads that decode images, in each process.",
)
@click.option(
    "--save-steps",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Steps between two states to go on from, besides one at every epoch's end.",
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
    """Train predictor NAME, without the prompts of each fold, on one image of each prompt an epoch.

    Writes OUT/predictor.toml, which `ensembler dump` takes, and for each fold the best and the last
    checkpoint, what they were made from, and metrics as JSON lines and for TensorBoard. Folds that
    are finished are skipped; the same command goes on after an interruption.
    """
    from ensembler.cli.progress import stages
    from ensembler.training.run import is_first_process
    from ensembler.training.run import train as train_folds

    with stages("images") as advance:
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
        )
    if not is_first_process():
        return
    click.echo(json.dumps(_document(report), ensure_ascii=False) if as_json else _said(report))


def _document(report: TrainReport) -> dict[str, object]:
    return {
        "definition": str(report.definition),
        "folds": {
            str(one.fold): {
                "score": one.result.best_score,
                "best_epoch": one.result.best_epoch,
                "scores": one.result.scores,
                "steps": one.result.steps,
                "trained": one.result.trained,
                "held_out": one.result.held_out,
                "judged": one.result.judged,
                "cut": one.result.cut,
                "processes": one.result.processes,
                "finished_before": one.fold in report.before,
            }
            for one in report.folds
        },
    }


def _said(report: TrainReport) -> str:
    lines = []
    for one in report.folds:
        made = one.result
        before = ", finished before" if one.fold in report.before else ""
        lines.append(
            f"fold {one.fold}: {made.best_score:.4f} over {made.judged} prompts held out"
            f" (best epoch: {made.best_epoch + 1} of {len(made.scores)}){before}"
        )
    return "\n".join([*lines, f"wrote {report.definition}"])
