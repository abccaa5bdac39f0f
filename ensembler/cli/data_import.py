"""`ensembler data import`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from ensembler.cli.data_options import out_option
from ensembler.cli.main import DEGRADED
from ensembler.cli.options import json_option
from ensembler.curation.importing import Format, Imported, import_pairs
from ensembler.curation.importing_tables import Named


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice([str(one) for one in Format]),
    help="What SOURCE is.  [default: by its name and columns]",
)
@click.option("--image-column", metavar="NAME", help="Of a table: ids or paths of images.")
@click.option("--prompt-column", metavar="NAME", help="Of a table: the prompts.")
@click.option(
    "--source",
    "origin",
    metavar="TEXT",
    help="Fills the column source.  [default: the source's own column, or its name]",
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
    """Write the pairs of SOURCE as one table: image, prompt, source.

    SOURCE is COCO's captions (.json), DiffusionDB's metadata (.parquet), a folder of images with
    one table, or a table of images and prompts, as the competition's prompts.csv. A fold that is
    there is kept. Tabs, line breaks and double blanks in a prompt become one blank. Exits with 4
    when pairs had to be left out, for want of a prompt or an image.
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
        click.echo(json.dumps({"table": str(out), **asdict(imported)}, ensure_ascii=False))
    else:
        click.echo(f"{out}: {imported.pairs} pairs, read as {imported.format}")
    if imported.dropped:
        click.echo(_warning(imported), err=True)
        context.exit(DEGRADED)


def _warning(imported: Imported) -> str:
    reasons = ", ".join(f"{count} with {reason}" for reason, count in imported.dropped.items())
    return f"Warning: pairs left out: {reasons}."
