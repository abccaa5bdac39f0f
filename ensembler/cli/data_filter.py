"""`ensembler data filter`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ensembler.cli.data_options import out_option, workers_option
from ensembler.cli.interrupting import resumable
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.curation.filtering import Filtered, filter_pairs
from ensembler.curation.filtering_rules import Rules


@click.command("filter")
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--min-words", type=click.IntRange(min=1), metavar="N", help="Drop prompts of fewer words."
)
@click.option(
    "--max-words", type=click.IntRange(min=1), metavar="N", help="Drop prompts of more words."
)
@click.option(
    "--language",
    "languages",
    multiple=True,
    metavar="CODE",
    show_default="any",
    help="Language that prompts may be in, as en; repeatable.",
)
@click.option(
    "--banned",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of words and phrases that no prompt may hold, one in each line.",
)
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Drop pairs whose image cannot be read from this folder.",
)
@click.option("--blank", is_flag=True, help="Drop images of one colour.")
@click.option(
    "--max-aspect",
    type=float,
    metavar="RATIO",
    help="Drop images whose longer side is more than RATIO times the shorter.",
)
@workers_option
@out_option
@json_option
def filter_(
    pairs: Path,
    min_words: int | None,
    max_words: int | None,
    languages: tuple[str, ...],
    banned: Path | None,
    images: Path | None,
    blank: bool,
    max_aspect: float | None,
    workers: int,
    out: Path,
    as_json: bool,
) -> None:
    """Write the PAIRS (image, prompt) that pass every rule; count the others by reason.

    A pair is dropped for the first rule that it fails. Language is judged with care for short
    prompts: one is dropped when another language is 20 times likelier. The same command goes on
    after an interruption.
    """
    from ensembler.curation.filtering_text import read_banned

    rules = Rules(
        min_words=min_words,
        max_words=max_words,
        banned=() if banned is None else read_banned(banned),
        languages=languages,
        max_aspect=max_aspect,
        blank=blank,
    )
    with resumable() as advance:
        filtered = filter_pairs(
            pairs,
            out,
            rules,
            images=images,
            workers=workers,
            progress=partial(advance, "judging pairs"),
        )
    if as_json:
        print_json({"table": str(out), **asdict(filtered)})
    else:
        click.echo(_table(filtered))
        click.echo(f"\n{out}: {filtered.kept} of {filtered.pairs} pairs")


def _table(filtered: Filtered) -> str:
    from ensembler.report.tables import as_text, new_table

    table = new_table("dropped for", "pairs", "share")
    for reason, count in filtered.dropped.items():
        table.add_row(reason, str(count), f"{count / filtered.pairs:.2%}")
    return as_text(table)
