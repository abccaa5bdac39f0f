"""`ensembler data resize`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.data_options import workers_option
from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.curation.resizing import SHARD_ROWS, resize_images
from ensembler.curation.resizing_shards import FITS, QUALITY, Form

if TYPE_CHECKING:
    from ensembler.curation.resizing_shards import Fit


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--images",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder that the images' paths start from.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the shards; made, or gone on with.",
)
@click.option(
    "--size",
    "sizes",
    required=True,
    multiple=True,
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Of both sides; give it again for another size from the same decode.",
)
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default="crop",
    show_default=True,
    help="Of images that are not square: cut the centre out, squash, or keep all of it, PIXELS"
    " being the shorter side.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=QUALITY,
    show_default=True,
    help="Of the JPEG files.",
)
@click.option(
    "--shard-rows",
    type=click.IntRange(min=1),
    default=SHARD_ROWS,
    show_default=True,
    help="Pairs to a shard.",
)
@workers_option
@json_option
@click.pass_context
def resize(
    context: click.Context,
    pairs: Path,
    images: Path,
    out: Path,
    sizes: tuple[int, ...],
    fit: Fit,
    quality: int,
    shard_rows: int,
    workers: int,
    as_json: bool,
) -> None:
    """Write the images of PAIRS (image, prompt, fold) as WebDataset shards.

    Each size is a folder of shards, DIR/256/00000.tar; DIR/pairs.tsv is the table of what is in
    them, DIR/failures.csv lists the rest. The same command goes on after an interruption. Exits
    with 4 when images could not be read.
    """
    from ensembler.cli.progress import stages

    with stages() as advance:
        resized = resize_images(
            *(pairs, images, out, Form(sizes=sizes, fit=fit, quality=quality)),
            shard_rows=shard_rows,
            workers=workers,
            progress=partial(advance, "resizing images"),
        )
    if as_json:
        document = {"out": str(out), **asdict(resized), "failures": str(resized.failures)}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        shards = f"{resized.shards} shards" if resized.shards > 1 else "1 shard"
        of_sizes = ", ".join(map(str, sizes))
        click.echo(f"{out}: {resized.written} pairs in {shards} of size {of_sizes}")
        if resized.resumed:
            click.echo(f"  {resized.resumed} had been made before an interruption")
    if resized.failed:
        click.echo(
            f"Warning: pairs without an image that can be read: {resized.failed};"
            f" {resized.failures} says why.",
            err=True,
        )
        context.exit(DEGRADED)
