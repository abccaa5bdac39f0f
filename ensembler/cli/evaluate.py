"""`ensembler evaluate`: honest scores of blends, side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ensembler.cli.interrupting import terminated_as_interrupted
from ensembler.cli.main import INTERRUPTED
from ensembler.cli.options import corpus_option, json_option, members_option, target_mix_option
from ensembler.cli.progress import stages

if TYPE_CHECKING:
    from ensembler.search.searching import Progress


@click.command()
@click.argument("oof")
@click.option("--spec", "specs", multiple=True, metavar="FILE", help="Repeat a spec's own fit.")
@click.option(
    "--blender", "blenders", multiple=True, metavar="NAME", help="A blender, or a chain like a+b."
)
@click.option("--study", default="default", show_default=True, metavar="NAME|FILE")
@members_option
@corpus_option
@click.option(
    "--repeats", default=1, show_default=True, type=click.IntRange(min=1), help="Deals of folds."
)
@click.option(
    "--by", "column", metavar="COLUMN", help="Scores by any column of the samples; worst groups."
)
@click.option(
    "--rows", default=3, show_default=True, type=click.IntRange(min=0), help="Worst and best."
)
@target_mix_option
@click.option("--leave-source-out", is_flag=True, help="Score each source by fits on the others.")
@click.option("--contributions", is_flag=True, help="What each member gives, and how few will do.")
@click.option("--budgets", is_flag=True, help="What seconds per image buy.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the study's.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Threads.")
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
    """Compare blends on the store OOF by rows that their fits never saw.

    Each whole fit is repeated without each fold of whole groups. Without --spec and --blender,
    every registered blender is compared. The same command goes on after an interruption.
    """
    from ensembler import api

    with _resumable() as progress:
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
    click.echo(json.dumps(found.summary()) if as_json else str(found))


@contextmanager
def _resumable() -> Iterator[Progress]:
    """Progress bars; an interruption says how to go on."""
    try:
        with terminated_as_interrupted(), stages() as progress:
            yield progress
    except KeyboardInterrupt:
        click.echo("\nInterrupted. The same command goes on: finished fits are kept.", err=True)
        sys.exit(INTERRUPTED)
