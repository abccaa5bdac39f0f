"""`ensembler recipe list`: the recipes that come with ensembler."""

from __future__ import annotations

import json

import click

from ensembler.cli.options import json_option
from ensembler.shipped import shipped
from ensembler.training.recipe import load_recipe


@click.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """The recipes that come with ensembler, for `train --recipe`, and the predictor of each."""
    recipes = {name: load_recipe(name) for name in shipped("recipes")}
    if as_json:
        described = {
            name: {"predictor": one.predictor, "description": one.description}
            for name, one in recipes.items()
        }
        click.echo(json.dumps(described))
        return
    width = max(map(len, recipes))
    whose = max(len(one.predictor or "") for one in recipes.values())
    for name, one in recipes.items():
        click.echo(f"{name:{width}}  {one.predictor or '':{whose}}  {one.description}")
