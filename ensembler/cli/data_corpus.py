"""`ensembler data corpus`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ensembler.cli.data_options import encoder_option
from ensembler.cli.options import json_option


@click.command()
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option("--column", help="The column of the prompts; default: prompt.")
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
    help="The file to write.",
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

    PROMPTS is a table (.csv, .tsv or .parquet) or a .txt file with a prompt in each line. TSV is
    read without quoting. No prompt itself is kept.
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
        document = {"corpus": str(out), **asdict(made)}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    near = f", {made.near} near targets of {exclude} left out" if exclude else ""
    click.echo(f"{out}: {made.kept} prompts{near}, {made.dim} dimensions, {made.encoder}")
