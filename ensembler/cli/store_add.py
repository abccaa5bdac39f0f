"""`ensembler store add`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.options import encoder_option, json_option
from ensembler.cli.output import print_json
from ensembler.errors import counted

if TYPE_CHECKING:
    from ensembler.store.model import Dtype


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--ids",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Ids of files that hold none: text, .npy or a table, one for all or one for each;"
    " repeatable.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Type of the numbers stored.",
)
@click.option("--drop-unknown", is_flag=True, help="Leave out rows whose id no sample has.")
@encoder_option
@click.option(
    "--seconds-per-image",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SECONDS",
    help="Seconds that the member takes per image, which --budget counts.",
)
@click.option("--no-texts", is_flag=True, help="Keep no captions in the store, only their vectors.")
@json_option
def add(
    store: Path,
    name: str,
    files: tuple[Path, ...],
    ids: tuple[Path, ...],
    dtype: Dtype,
    drop_unknown: bool,
    encoder: Path | None,
    seconds_per_image: float | None,
    no_texts: bool,
    as_json: bool,
) -> None:
    """Add member NAME to STORE from FILES, joined to the samples by id.

    FILES are .npy, .npz or .pt (with --ids, or ids inside; flattened or not); .parquet, .csv or
    .tsv of ids and numbers; captions, a table of ids and one text column; or an old submission.csv.
    Several files, say one of each fold, make one member.
    """
    from ensembler.cli.progress import stages
    from ensembler.store.model import Origin
    from ensembler.store.writer import add_member

    with stages() as advance:
        report = add_member(
            store,
            name,
            files,
            ids=ids,
            dtype=dtype,
            drop_unknown=drop_unknown,
            encoder=encoder,
            keep_texts=not no_texts,
            origin=Origin(seconds_per_image=seconds_per_image),
            progress=partial(advance, "encoding texts"),
        )
    member = report.member
    if as_json:
        document = {
            "store": str(store),
            "member": name,
            "rows": member.rows,
            "coverage": report.coverage,
            "zero_rows": member.zero_rows,
            "unknown_dropped": report.unknown_dropped,
            "dim": member.dim,
            "dtype": member.dtype,
            "captions": member.captions,
            "seconds_per_image": member.origin.seconds_per_image,
            "sha256": member.sha256,
        }
        print_json(document)
        return
    size = f"{counted(member.rows, 'row')}, {report.coverage:.1%} of the samples"
    notes = f", {member.zero_rows} of length zero" if member.zero_rows else ""
    if report.unknown_dropped:
        notes += f", {report.unknown_dropped} of unknown ids left out"
    click.echo(f"{name}: {size}{notes}; {member.dtype}")
