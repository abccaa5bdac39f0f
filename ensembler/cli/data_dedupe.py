"""`ensembler data dedupe`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from ensembler.cli.data_options import EMBEDDINGS_KEPT, check_comparable, comparing_options
from ensembler.cli.interrupting import resumable
from ensembler.cli.output import print_json


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    metavar="COSINE",
    help="Cosine from which two pairs are near-duplicates.",
)
@comparing_options
def dedupe(
    pairs: Path,
    threshold: float,
    by: Literal["prompt", "image"],
    vectors: Path | None,
    encoder: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write PAIRS without near-duplicates: the first in the table's order is kept.

    A pair is dropped when it is near an earlier kept one: every dropped pair is near a kept one,
    and no two kept pairs are near. By image, a kept image keeps all its pairs.
    PAIRS is a table with the columns image (or id) and prompt; a .tsv of image, prompt and fold
    needs no header. Up to 200,000 rows, all are compared; beyond, a row is compared with those in
    the nearest cells of a k-means partition, and the share of near-duplicates found is printed.
    """
    from ensembler.curation.deduplicating import dedupe as dedupe_pairs

    check_comparable(by, vectors, encoder)
    with resumable(EMBEDDINGS_KEPT) as advance:
        done = dedupe_pairs(
            pairs,
            out,
            threshold=threshold,
            by=by,
            vectors=vectors,
            encoder=encoder,
            advance=advance,
        )
    if as_json:
        print_json({"pairs": str(out), "by": by, "threshold": threshold, **asdict(done)})
        return
    click.echo(
        f"{out}: {done.kept} of {done.rows} pairs; {done.rows - done.kept} near-duplicates by"
        f" {by} left out, at cosine {threshold:g}"
    )
    if done.recall is not None:
        click.echo(f"  approximate search: it found {done.recall:.2%} of the near-duplicates")
