"""`ensembler predictors`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "list": ("ensembler.cli.predictors_list:list_", "What is installed, and what installs more."),
    "show": ("ensembler.cli.predictors_show:show", "What one is, and a definition to fill in."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def predictors() -> None:
    """Show the predictors that packages register."""
