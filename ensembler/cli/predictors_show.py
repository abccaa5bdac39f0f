"""`ensembler predictors show`: what a predictor is, and all that its definition may say."""

from __future__ import annotations

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json


@click.command()
@click.argument("name")
@json_option
def show(name: str, *, as_json: bool) -> None:
    """Show what NAME is, and a definition of it to fill in.

    The definition has every file that it is loaded from and every key of its config, with the
    defaults.
    """
    from dataclasses import asdict

    from ensembler.predicting.keys import config_keys
    from ensembler.predicting.listing import list_predictor
    from ensembler.predicting.registry import find_adapter, pip_line
    from ensembler.predicting.skeleton import toml_skeleton

    adapter = find_adapter(name)
    listed = list_predictor(name)
    skeleton = toml_skeleton(name, adapter)
    if as_json:
        document = {
            **{key: value for key, value in asdict(listed).items() if key != "broken"},
            "install": pip_line(adapter),
            "installed": listed.installed,
            "roles": {
                role: {"what": of.what, "required": of.required}
                for role, of in adapter.roles.items()
            },
            "config": {
                key.name: {
                    "kind": key.kind,
                    "about": key.about,
                    "required": key.required,
                    "default": None if key.required else key.value,
                }
                for key in config_keys(adapter.Config)
            },
            "definition": skeleton,
        }
        print_json(document)
        return
    state = "installed" if listed.installed else f"lacks {', '.join(listed.missing)}"
    click.echo(f"{name} ({listed.package}, {state}): {listed.about}")
    click.echo(f"What it needs: {pip_line(adapter)}\n")
    click.echo("Its definition, to be filled in. What begins with # and no blank is the default.\n")
    click.echo(skeleton, nl=False)
