"""`ensembler data fold`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ensembler.cli.data_options import EMBEDDINGS_KEPT, check_comparable, comparing_options
from ensembler.cli.interrupting import resumable
from ensembler.cli.output import print_json

if TYPE_CHECKING:
    from ensembler.curation.grouping_folds import Folded, Grouping

SHOWN = 5  # of the largest groups


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.7,
    show_default=True,
    metavar="COSINE",
    help="Cosine from which two pairs share a group.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    metavar="N",
    help="Number of folds.",
)
@click.option(
    "--grouping",
    type=click.Choice(["components", "leaders"]),
    default="components",
    show_default=True,
    help="Groups to make: whole chains of near pairs, or a leader and what is near it.",
)
@comparing_options
def fold(
    pairs: Path,
    threshold: float,
    folds: int,
    grouping: Grouping,
    by: str,
    vectors: Path | None,
    encoder: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write PAIRS with a column fold; similar pairs share a fold.

    Pairs are grouped by similarity, and whole groups are dealt to folds of nearly equal size.
    Components leave no two near pairs in different folds, but chains can grow into a group larger
    than a fold; leaders do not chain, and part some near pairs. Either way all pairs of an image
    share a fold. The remaining similarity across folds is printed. PAIRS is a table with the
    columns image (or id) and prompt; a .tsv of image, prompt and fold needs no header.
    """
    from ensembler.curation.grouping_folds import fold as fold_pairs

    check_comparable(by, vectors, encoder)
    with resumable(EMBEDDINGS_KEPT) as advance:
        done = fold_pairs(
            pairs,
            out,
            threshold=threshold,
            folds=folds,
            grouping=grouping,
            vectors=vectors,
            encoder=encoder,
            advance=advance,
        )
    if as_json:
        settings = {"by": by, "threshold": threshold, "grouping": grouping}
        print_json({"pairs": str(out), **settings, **_document(done)})
    else:
        click.echo(f"{out}: {_summary(done, threshold)}")
    if done.uneven:
        click.echo(
            f"Warning: the largest group has {done.sizes[0]} of {sum(done.folds)} pairs, more than"
            " a fold's share; raise --threshold, or set --grouping leaders.",
            err=True,
        )


def _document(done: Folded) -> dict[str, object]:
    return {
        "rows": sum(done.folds),
        "groups": len(done.sizes),
        "largest_groups": list(done.sizes[:SHOWN]),
        "alone": done.sizes.count(1),
        "folds": list(done.folds),
        "across_folds": {
            "largest": done.leak.largest,
            "images": list(done.images),
            "near": done.leak.near,
            "looked": done.leak.looked,
        },
    }


def _summary(done: Folded, threshold: float) -> str:
    rows, leak = sum(done.folds), done.leak
    largest = ", ".join(map(str, done.sizes[:SHOWN]))
    among = "" if leak.looked == rows else f" (of {leak.looked} rows drawn)"
    return "\n".join(
        [
            f"{rows} pairs in {len(done.sizes)} groups, {len(done.folds)} folds",
            f"  groups: {done.sizes.count(1)} of one pair; the largest have {largest}",
            f"  folds: {min(done.folds)} to {max(done.folds)} pairs",
            f"  across folds{among}: {leak.near:.2%} have a pair of cosine {threshold:g} or more,",
            f"  largest {leak.largest:.4f}: {done.images[0]}, {done.images[1]}",
        ]
    )
