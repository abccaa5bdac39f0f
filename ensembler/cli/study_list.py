"""`ensembler study list`: the studies that come with ensembler."""

from __future__ import annotations

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.search.definition import load_study, study_paths


@click.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the studies that come with ensembler, for `fit --study`."""
    described = {name: load_study(path).description for name, path in study_paths().items()}
    if as_json:
        print_json(described)
        return
    width = max(map(len, described))
    for name, description in described.items():
        click.echo(f"{name:{width}}  {description}")
