"""`ensembler study`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "list": ("ensembler.cli.study_list:list_", "List the studies that come with ensembler."),
    "show": ("ensembler.cli.study_show:show", "Show a study's definition, every key spelt out."),
    "dashboard": (
        "ensembler.cli.study_dashboard:dashboard",
        "Show a fit's trials in a browser, by optuna-dashboard.",
    ),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def study() -> None:
    """List and show study definitions; look at recorded trials."""
