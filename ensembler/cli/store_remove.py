"""`ensembler store remove`."""

from __future__ import annotations

from pathlib import Path

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("name")
@json_option
def remove(store: Path, name: str, as_json: bool) -> None:
    """Take member NAME out of STORE."""
    from ensembler.store.writer import remove_member

    remove_member(store, name)
    if as_json:
        print_json({"store": str(store), "removed": name})
        return
    click.echo(f"{name}: removed from {store}")
