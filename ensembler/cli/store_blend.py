"""`ensembler store blend`: a blend's out-of-fold rows as a member of another store."""

from __future__ import annotations

import click

from ensembler.cli.options import corpus_option, json_option, members_option
from ensembler.cli.progress import stages


@click.command()
@click.argument("store")
@click.argument("name")
@click.option("--of", "oof", required=True, metavar="OOF", help="The store it blends.")
@click.option("--blender", default="weighted", show_default=True, metavar="NAME")
@click.option("--study", default="default", show_default=True, metavar="NAME|FILE")
@members_option
@corpus_option
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the study's.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Threads.")
@json_option
def blend(
    *,
    store: str,
    name: str,
    oof: str,
    blender: str,
    study: str,
    members: list[str] | None,
    corpus: str | None,
    seed: int | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Add a blend of OOF's members to STORE as the member NAME, for a later blend to build on.

    Each row comes from the whole fit repeated without the row's fold. STORE is made if there is
    none, with OOF's samples and targets in those folds.
    """
    from ensembler import api

    with stages() as progress:
        record = api.export_blend(
            oof,
            store,
            name,
            blender=blender,
            study=study,
            members=members,
            corpus=corpus,
            seed=seed,
            jobs=jobs,
            progress=progress,
        )
    if as_json:
        click.echo(record.model_dump_json())
    else:
        click.echo(f"{name}: {record.rows} rows of {blender}, each by a fit without its fold")
