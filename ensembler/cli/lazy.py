"""A click group that imports a command's module only when the command is called or described."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from ensembler.errors import unknown_name


class LazyGroup(click.Group):
    """Commands by name → "module:attribute"; help texts stand here so that `--help` stays light.

    Args:
        commands_at: name → (where the command lives, its one-line help).
        kwargs: as click.Group takes them.
    """

    def __init__(self, *, commands_at: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(**kwargs)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in the order of the story."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command that was asked for."""
        if cmd_name not in self.commands_at:
            return None
        module, attribute = self.commands_at[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - our own table, not a user's input
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an unknown command with the nearest known one."""
        if args and args[0] not in self.commands_at and not args[0].startswith("-"):
            raise click.UsageError(unknown_name("command", args[0], self.commands_at), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the command table without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_at.items()])
