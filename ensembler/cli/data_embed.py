"""`ensembler data embed`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from ensembler.cli.data_options import encoder_option
from ensembler.cli.options import json_option
from ensembler.curation.embedding import SHARD_ROWS


@click.command()
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the vectors; made, or gone on with.",
)
@encoder_option
@click.option(
    "--shard-rows",
    type=click.IntRange(min=1),
    default=SHARD_ROWS,
    show_default=True,
    help="Prompts in a file.",
)
@json_option
def embed(prompts: Path, out: Path, encoder: Path | None, shard_rows: int, as_json: bool) -> None:
    """Embed the prompts of PROMPTS: the targets of its images.

    PROMPTS is a table (.csv, .tsv or .parquet) with the columns image (or id) and prompt; a .tsv of
    image, prompt and fold needs no header. The vectors are NumPy files of so many rows each, their
    ids beside them; `dedupe` and `fold` take the folder as --vectors. The same command goes on
    after an interruption, to the same bytes.
    """
    from ensembler.cli.progress import stages
    from ensembler.curation.embedding import embed as embed_prompts

    with stages() as advance:
        made = embed_prompts(
            prompts,
            out,
            encoder=encoder,
            shard_rows=shard_rows,
            progress=partial(advance, "embedding prompts"),
        )
    if as_json:
        click.echo(json.dumps({"embeddings": str(out), **asdict(made)}, ensure_ascii=False))
        return
    click.echo(
        f"{out}: {made.rows} prompts, {made.dim} dimensions, {made.encoder}; shards: {made.shards}"
    )
    if made.resumed:
        click.echo(f"  {made.resumed} prompts had been embedded before an interruption")
