"""`ensembler evaluate`: honest scores of blends, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ensembler.cli.interrupting import resumable
from ensembler.cli.options import (
    corpus_option,
    jobs_option,
    json_option,
    members_option,
    seed_option,
    study_option,
    target_mix_option,
)
from ensembler.cli.output import print_json


@click.command()
@click.argument("oof")
@click.option(
    "--spec",
    "specs",
    multiple=True,
    metavar="FILE",
    help="Frozen spec whose own fit is repeated and compared; repeatable.",
)
@click.option(
    "--blender",
    "blenders",
    multiple=True,
    metavar="NAME",
    help="Blender to compare, or a chain like gated+ridge; repeatable.",
)
@study_option
@members_option
@corpus_option
@click.option(
    "--repeats",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of times that folds are dealt and all fits repeated.",
)
@click.option(
    "--by",
    "column",
    metavar="COLUMN",
    show_default="source",
    help="Column of the samples to score by value; given, worst groups are shown too.",
)
@click.option(
    "--rows",
    default=3,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="Number of the worst and of the best rows to show.",
)
@target_mix_option
@click.option(
    "--leave-source-out", is_flag=True, help="Score each source by fits on the others, too."
)
@click.option(
    "--contributions", is_flag=True, help="Show what each member adds, and how few will do."
)
@click.option("--budgets", is_flag=True, help="Show what seconds per image buy.")
@seed_option
@jobs_option
@json_option
def evaluate(
    *,
    oof: str,
    specs: Sequence[str],
    blenders: Sequence[str],
    study: str,
    members: list[str] | None,
    corpus: str | None,
    repeats: int,
    column: str | None,
    rows: int,
    target_mix: dict[str, float] | None,
    leave_source_out: bool,
    contributions: bool,
    budgets: bool,
    seed: int | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Compare blends on rows of the store OOF that their fits never saw.

    Each whole fit is repeated without each fold of whole groups. Without --spec and --blender,
    every registered blender is compared. The same command goes on after an interruption.
    """
    from ensembler import api

    with resumable("The same command goes on: finished fits are kept.") as progress:
        found = api.evaluate(
            oof,
            blenders=blenders or None,
            specs=specs,
            study=study,
            members=members,
            corpus=corpus,
            repeats=repeats,
            column=column,
            rows=rows,
            target_mix=target_mix,
            leave_source_out=leave_source_out,
            contributions=contributions,
            budgets=budgets,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
    if as_json:
        print_json(found.summary())
    else:
        click.echo(str(found))
