"""`ensembler store add`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ensembler.store.model import Dtype


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--ids",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Ids for files that hold none (text, .npy or a table), for all in order or for each.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What is stored.",
)
@click.option("--drop-unknown", is_flag=True, help="Leave out rows whose id no sample has.")
@click.option(
    "--encoder",
    type=click.Path(path_type=Path),
    help="A sentence-transformers folder for captions; default: the MiniLM that is installed.",
)
@click.option(
    "--seconds-per-image",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SECONDS",
    help="What the member takes for an image, which --budget goes by.",
)
@click.option("--no-texts", is_flag=True, help="Encode captions, but keep none in the store.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
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
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    notes = f", {member.zero_rows} of length zero" if member.zero_rows else ""
    if report.unknown_dropped:
        notes += f", {report.unknown_dropped} of unknown ids left out"
    click.echo(
        f"{name}: {member.rows} rows, {report.coverage:.1%} of the samples{notes}; {member.dtype}"
    )
