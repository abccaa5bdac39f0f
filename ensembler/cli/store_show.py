"""`ensembler store show`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@json_option
def show(store: Path, as_json: bool) -> None:
    """Show what STORE holds: its samples, and each member with its score alone."""
    from ensembler.report.store_table import store_table
    from ensembler.report.tables import as_text
    from ensembler.store.summary import summarise_store

    summary = summarise_store(store)
    if as_json:
        print_json(asdict(summary))
    else:
        click.echo(as_text(store_table(summary)))
