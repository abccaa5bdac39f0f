"""`ensembler data corpus`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ensembler.cli.options import encoder_option, json_option
from ensembler.cli.output import print_json


@click.command()
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option(
    "--column",
    metavar="NAME",
    show_default="prompt",
    help="Column of the table that holds the prompts.",
)
@encoder_option
@click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    metavar="OOF",
    help="Leave out prompts near the targets of this store.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("corpus.safetensors"),
    show_default=True,
    metavar="FILE",
    help="Corpus file to write.",
)
@json_option
def corpus(
    prompts: Path,
    column: str | None,
    encoder: Path | None,
    exclude: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write the mean and covariance of the embeddings of PROMPTS, for --corpus.

    PROMPTS is a table (.csv, .tsv or .parquet) or a .txt file with one prompt per line. TSV is
    read without quoting. The file holds no prompts.
    """
    from ensembler.cli.progress import stages
    from ensembler.store.prompts import make_corpus, read_prompts

    listed = read_prompts(prompts, column)
    with stages() as advance:
        made = make_corpus(
            listed,
            out,
            encoder=encoder,
            exclude=exclude,
            progress=partial(advance, "embedding prompts"),
        )
    if as_json:
        print_json({"corpus": str(out), **asdict(made)})
        return
    near = f", {made.near} near targets of {exclude} left out" if exclude else ""
    click.echo(f"{out}: {made.kept} prompts{near}, {made.dim} dimensions, {made.encoder}")
