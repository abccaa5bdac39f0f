"""`ensembler recipe list`: the recipes that come with ensembler."""

from __future__ import annotations

import json

import click

from ensembler.shipped import shipped
from ensembler.training.recipe import load_recipe


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def list_(*, as_json: bool) -> None:
    """The recipes that come with ensembler, for `train --recipe`."""
    described = {name: load_recipe(name).description for name in shipped("recipes")}
    if as_json:
        click.echo(json.dumps(described))
        return
    width = max(map(len, described))
    for name, description in described.items():
        click.echo(f"{name:{width}}  {description}")
