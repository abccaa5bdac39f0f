"""`ensembler store create`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from ensembler.cli.options import encoder_option, json_option
from ensembler.cli.output import print_json
from ensembler.errors import counted, first_few


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("samples", type=click.Path(path_type=Path))
@click.option(
    "--targets",
    metavar="FILE",
    type=click.Path(path_type=Path),
    show_default="the prompts, encoded",
    help="Target vectors: .npy in the samples' order, or any file of vectors with ids.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    show_default="5",
    metavar="N",
    help="Number of folds to deal, by group, where SAMPLES has none.",
)
@encoder_option
@click.option(
    "--no-texts", is_flag=True, help="Keep neither prompts nor further columns in the store."
)
@json_option
def create(
    store: Path,
    samples: Path,
    targets: Path | None,
    folds: int | None,
    encoder: Path | None,
    no_texts: bool,
    as_json: bool,
) -> None:
    """Make STORE from SAMPLES, a table: .csv, .tsv or .parquet.

    SAMPLES has the column id (or imgId, or image, as `data fold` writes) and any of prompt, fold,
    group, source and weight; its order is kept, and further columns as text, for `evaluate --by`.
    TSV is read without quoting; one of image, prompt and fold may lack its header line.
    Targets come from --targets, else from the prompts. With neither, STORE is one for test
    embeddings.
    """
    from ensembler.cli.progress import stages
    from ensembler.store.create import create_store

    with stages() as advance:
        made = create_store(
            store,
            samples,
            targets=targets,
            folds=folds,
            encoder=encoder,
            keep_texts=not no_texts,
            progress=partial(advance, "encoding texts"),
        )
    rows, manifest = made.samples, made.manifest
    groups = len(set(rows.group.tolist()))
    dealt = len(set(rows.fold[rows.fold >= 0].tolist()))
    if as_json:
        document = {
            "store": str(store),
            "samples": len(rows),
            "groups": groups,
            "folds": dealt,
            "further_columns": list(rows.further),
            "dim": manifest.dim,
            "targets": manifest.targets is not None,
            "digest": made.digest,
        }
        print_json(document)
        return
    size = f"{counted(len(rows), 'sample')} in {counted(groups, 'group')}"
    scored = f"targets of {manifest.dim} numbers" if manifest.targets else "no targets"
    kept = f"; further columns: {first_few(rows.further)}" if rows.further else ""
    click.echo(f"{store}: {size} and {counted(dealt, 'fold')}, {scored}{kept}")
