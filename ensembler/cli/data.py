"""`ensembler data`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "corpus": ("ensembler.cli.data_corpus:corpus", "Turn a list of prompts into a corpus file."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def data() -> None:
    """Make what a fit may use besides a store."""
