"""`ensembler spec`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "show": ("ensembler.cli.spec_show:show", "The blend and its scores, as `fit` printed them."),
    "verify": ("ensembler.cli.spec_verify:verify", "Check digests; with --store, re-score it too."),
    "export": ("ensembler.cli.spec_export:export", "A stand-alone numpy file of the same blend."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def spec() -> None:
    """Show, verify or export a frozen spec."""
