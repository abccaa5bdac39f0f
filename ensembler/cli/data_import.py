"""`ensembler data import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ensembler.cli.data_options import out_option
from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.curation.importing import Format, Imported, import_pairs
from ensembler.curation.importing_tables import Named


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice([str(one) for one in Format]),
    show_default="by its name and columns",
    help="Form of SOURCE.",
)
@click.option(
    "--image-column", metavar="NAME", help="Column of a table with the images' ids or paths."
)
@click.option("--prompt-column", metavar="NAME", help="Column of a table with the prompts.")
@click.option(
    "--source",
    "origin",
    metavar="TEXT",
    show_default="SOURCE's own column, or its name",
    help="Text to fill the column source with.",
)
@out_option
@json_option
@click.pass_context
def import_(
    context: click.Context,
    source: Path,
    kind: str | None,
    image_column: str | None,
    prompt_column: str | None,
    origin: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write the pairs of SOURCE as one table of image, prompt and source.

    SOURCE is COCO's captions (.json), DiffusionDB's metadata (.parquet), a folder of images with
    one table, or a table of images and prompts, as the competition's prompts.csv. An existing
    column fold is kept. Tabs, line breaks and double blanks in a prompt become one blank. Exits
    with 4 when pairs without a prompt or an image were left out.
    """
    from rich.console import Console

    named = Named(image=image_column, prompt=prompt_column)
    with Console(stderr=True).status("importing") as status:
        imported = import_pairs(
            source,
            out,
            format=None if kind is None else Format(kind),
            named=named if named != Named() else None,
            origin=origin,
            progress=lambda pairs: status.update(f"importing: {pairs} pairs"),
        )
    if as_json:
        print_json({"table": str(out), **asdict(imported)})
    else:
        click.echo(f"{out}: {imported.pairs} pairs, read as {imported.format}")
    if imported.dropped:
        click.echo(_warning(imported), err=True)
        context.exit(DEGRADED)


def _warning(imported: Imported) -> str:
    reasons = ", ".join(f"{count} with {reason}" for reason, count in imported.dropped.items())
    return f"Warning: pairs left out: {reasons}."
