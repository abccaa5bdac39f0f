"""`ensembler recipe`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "list": ("ensembler.cli.recipe_list:list_", "List the recipes that come with ensembler."),
    "show": (
        "ensembler.cli.recipe_show:show",
        "Show a recipe's file, with what it says of itself.",
    ),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def recipe() -> None:
    """List and show the recipes that `ensembler train` takes by name."""
