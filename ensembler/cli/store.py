"""`ensembler store`: the group of its commands."""

from __future__ import annotations

import click

from ensembler.cli.lazy import LazyGroup

_COMMANDS = {
    "create": ("ensembler.cli.store_create:create", "Make a store from a table of samples."),
    "add": ("ensembler.cli.store_add:add", "Add a member from files of embeddings or captions."),
    "blend": ("ensembler.cli.store_blend:blend", "Add a blend's out-of-fold rows as a member."),
    "remove": ("ensembler.cli.store_remove:remove", "Take a member out."),
    "show": ("ensembler.cli.store_show:show", "Show what the store holds."),
    "audit": ("ensembler.cli.store_audit:audit", "Look for what spoils a blend."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def store() -> None:
    """Create, fill, show and audit an OOF store."""
