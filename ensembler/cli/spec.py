"""`ensembler spec`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "show": (
        "ensembler.cli.spec_show:show",
        "Show the blend and its scores, as `fit` printed them.",
    ),
    "verify": ("ensembler.cli.spec_verify:verify", "Check digests; with --store, re-score it too."),
    "export": ("ensembler.cli.spec_export:export", "Write the blend as a stand-alone numpy file."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def spec() -> None:
    """Show, verify or export a frozen spec."""
