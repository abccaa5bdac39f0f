"""`ensembler recipe show`: the file of a recipe, to read or to adapt."""

from __future__ import annotations

import click

from ensembler.cli.output import print_json
from ensembler.training.recipe import load_recipe, recipe_file


@click.command()
@click.argument("recipe", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print every key as one JSON object.")
def show(*, recipe: str, as_json: bool) -> None:
    """Show a recipe's file: its command, what of it was published, and its keys."""
    checked = load_recipe(recipe)
    if as_json:
        print_json(checked.model_dump(mode="json"))
        return
    click.echo(recipe_file(recipe).read_text(encoding="utf-8"), nl=False)
