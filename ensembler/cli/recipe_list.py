"""`ensembler recipe list`: the recipes that come with ensembler."""

from __future__ import annotations

from textwrap import fill

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.report.tables import WIDTH
from ensembler.shipped import shipped
from ensembler.training.recipe import load_recipe


@click.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the recipes that come with ensembler, for `train --recipe`, and their predictors."""
    recipes = {name: load_recipe(name) for name in shipped("recipes")}
    if as_json:
        described = {
            name: {"predictor": one.predictor, "description": one.description}
            for name, one in recipes.items()
        }
        print_json(described)
        return
    for name, one in recipes.items():
        click.echo(f"{name}  ({one.predictor})")
        click.echo(fill(one.description, WIDTH, initial_indent="  ", subsequent_indent="  "))
