"""`ensembler store create`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from ensembler.errors import first_few


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("samples", type=click.Path(path_type=Path))
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    help="Vectors: .npy in the samples' order, or any file of vectors with ids.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Folds to deal, by group, where SAMPLES has none.",
)
@click.option(
    "--encoder",
    type=click.Path(path_type=Path),
    help="A sentence-transformers folder for the prompts; default: the MiniLM that is installed.",
)
@click.option("--no-texts", is_flag=True, help="Keep no prompts in the store, nor further columns.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def create(
    store: Path,
    samples: Path,
    targets: Path | None,
    folds: int,
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
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    scored = f"targets of {manifest.dim} numbers" if manifest.targets else "no targets"
    kept = f"; kept besides: {first_few(rows.further)}" if rows.further else ""
    click.echo(f"{store}: {len(rows)} samples in {groups} groups and {dealt} folds, {scored}{kept}")
