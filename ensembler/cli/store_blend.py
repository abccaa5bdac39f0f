"""`ensembler store blend`: a blend's out-of-fold rows as a member of another store."""

from __future__ import annotations

import click

from ensembler.cli.options import (
    corpus_option,
    jobs_option,
    json_option,
    members_option,
    seed_option,
    study_option,
)
from ensembler.cli.output import print_json
from ensembler.cli.progress import stages


@click.command()
@click.argument("store")
@click.argument("name")
@click.option("--of", "oof", required=True, metavar="OOF", help="Store whose members are blended.")
@click.option(
    "--blender",
    default="weighted",
    show_default=True,
    metavar="NAME",
    help="Blender to fit, or a chain like gated+ridge.",
)
@study_option
@members_option
@corpus_option
@seed_option
@jobs_option
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
        print_json(record.model_dump(mode="json"))
    else:
        click.echo(f"{name}: {record.rows} rows of {blender}, each by a fit without its fold")
