"""`ensembler study show`: a study's definition as TOML, every key spelt out."""

from __future__ import annotations

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.search.definition import load_study
from ensembler.search.samplers import SAMPLERS
from ensembler.toml import toml_value


@click.command()
@click.argument("study", metavar="NAME|FILE")
@json_option
def show(*, study: str, as_json: bool) -> None:
    """Show a study's definition, defaults spelt out: TOML to start a file of your own."""
    definition = load_study(study)
    document = definition.model_dump(mode="json")
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        note = f"  # {SAMPLERS[definition.sampler].promise}" if key == "sampler" else ""
        click.echo(f"{key:12} = {toml_value(value)}{note}")
