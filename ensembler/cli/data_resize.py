"""`ensembler data resize`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.data_options import workers_option
from ensembler.cli.interrupting import resumable
from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
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
    help="Folder that the images' paths start from.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the shards to make, or to go on with.",
)
@click.option(
    "--size",
    "sizes",
    required=True,
    multiple=True,
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Length of both sides; repeatable, several sizes come from one decode.",
)
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default="crop",
    show_default=True,
    help="Treatment of images that are not square: crop the centre, squash, or keep the shape,"
    " PIXELS being the shorter side.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=QUALITY,
    show_default=True,
    metavar="N",
    help="Quality of the JPEG files.",
)
@click.option(
    "--shard-rows",
    type=click.IntRange(min=1),
    default=SHARD_ROWS,
    show_default=True,
    metavar="N",
    help="Number of pairs in a shard.",
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

    Each size is a folder of shards, DIR/256/00000.tar; DIR/pairs.tsv is the table of the pairs in
    them, DIR/failures.csv lists the other pairs. The same command goes on after an interruption.
    Exits with 4 when images could not be read.
    """
    with resumable() as advance:
        resized = resize_images(
            pairs,
            images,
            out,
            Form(sizes=sizes, fit=fit, quality=quality),
            shard_rows=shard_rows,
            workers=workers,
            progress=partial(advance, "resizing images"),
        )
    if as_json:
        print_json({"out": str(out), **asdict(resized), "failures": str(resized.failures)})
    else:
        shards = f"{resized.shards} shards" if resized.shards > 1 else "1 shard"
        of_sizes = ", ".join(map(str, sizes))
        click.echo(f"{out}: {resized.written} pairs in {shards} of size {of_sizes}")
        if resized.resumed:
            click.echo(f"  {resized.resumed} had been made before an interruption")
    if resized.failed:
        click.echo(
            f"Warning: pairs without a readable image: {resized.failed};"
            f" {resized.failures} gives the reasons.",
            err=True,
        )
        context.exit(DEGRADED)
