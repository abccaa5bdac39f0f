"""`ensembler recipe show`: a recipe's file, to read or to start one's own from."""

from __future__ import annotations

import json

import click

from ensembler.training.recipe import load_recipe, recipe_file


@click.command()
@click.argument("recipe", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print every key as one JSON object.")
def show(*, recipe: str, as_json: bool) -> None:
    """A recipe's file: how it is started, what of it was published, and its keys."""
    checked = load_recipe(recipe)
    if as_json:
        click.echo(json.dumps(checked.model_dump(mode="json")))
        return
    click.echo(recipe_file(recipe).read_text(encoding="utf-8"), nl=False)
