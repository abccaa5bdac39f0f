"""`ensembler store remove`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def remove(store: Path, name: str, as_json: bool) -> None:
    """Take member NAME out of STORE."""
    from ensembler.store.writer import remove_member

    remove_member(store, name)
    if as_json:
        click.echo(json.dumps({"store": str(store), "removed": name}, ensure_ascii=False))
        return
    click.echo(f"{name}: removed from {store}")
