"""`ensembler study show`: a study's definition as TOML, every key spelt out."""

from __future__ import annotations

import json

import click

from ensembler.cli.options import json_option
from ensembler.search.definition import load_study
from ensembler.search.samplers import SAMPLERS


@click.command()
@click.argument("study", metavar="NAME|FILE")
@json_option
def show(*, study: str, as_json: bool) -> None:
    """A study's definition with every key, defaults included: TOML to start an own file from."""
    definition = load_study(study)
    document = definition.model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(document))
        return
    for key, value in document.items():
        note = f"  # {SAMPLERS[definition.sampler].promise}" if key == "sampler" else ""
        click.echo(f"{key:12} = {_toml(value)}{note}")


def _toml(value: object) -> str:
    """A value as TOML: JSON, but for tables and the character DEL, which TOML wants escaped."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
