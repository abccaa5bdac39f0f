"""`ensembler predictors`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "list": (
        "ensembler.cli.predictors_list:list_",
        "List what is installed, and what installs more.",
    ),
    "show": (
        "ensembler.cli.predictors_show:show",
        "Show a predictor, and a definition to fill in.",
    ),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def predictors() -> None:
    """List and show the predictors that packages register."""
