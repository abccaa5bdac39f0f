"""`ensembler data embed`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ensembler.cli.interrupting import resumable
from ensembler.cli.options import encoder_option, json_option
from ensembler.cli.output import print_json
from ensembler.curation.embedding import SHARD_ROWS


@click.command()
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the vectors to make, or to go on with.",
)
@encoder_option
@click.option(
    "--shard-rows",
    type=click.IntRange(min=1),
    default=SHARD_ROWS,
    show_default=True,
    metavar="N",
    help="Number of prompts in each file of vectors.",
)
@json_option
def embed(prompts: Path, out: Path, encoder: Path | None, shard_rows: int, as_json: bool) -> None:
    """Embed the prompts of PROMPTS: the targets of its images.

    PROMPTS is a table (.csv, .tsv or .parquet) with the columns image (or id) and prompt; a .tsv of
    image, prompt and fold needs no header. The vectors are NumPy files of --shard-rows rows each,
    their ids beside them; `dedupe` and `fold` take the folder as --vectors. The same command goes
    on after an interruption, to the same bytes.
    """
    from ensembler.curation.embedding import embed as embed_prompts

    with resumable() as advance:
        made = embed_prompts(
            prompts,
            out,
            encoder=encoder,
            shard_rows=shard_rows,
            progress=partial(advance, "embedding prompts"),
        )
    if as_json:
        print_json({"embeddings": str(out), **asdict(made)})
        return
    click.echo(
        f"{out}: {made.rows} prompts, {made.dim} dimensions, {made.encoder}; shards: {made.shards}"
    )
    if made.resumed == made.rows:
        click.echo("  nothing to do: an earlier run had finished")
    elif made.resumed:
        click.echo(f"  {made.resumed} prompts had been embedded before an interruption")
