"""`ensembler store show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(store: Path, as_json: bool) -> None:
    """What STORE holds: its samples, and each member with its score alone."""
    from ensembler.report.store_table import store_table
    from ensembler.report.tables import as_text
    from ensembler.store.summary import summarise_store

    summary = summarise_store(store)
    if as_json:
        click.echo(json.dumps(asdict(summary), ensure_ascii=False))
    else:
        click.echo(as_text(store_table(summary)))
