"""`ensembler study show`: a study's definition, every key spelt out."""

from __future__ import annotations

import json

import click

from ensembler.search.definition import load_study


@click.command()
@click.argument("study", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def show(*, study: str, as_json: bool) -> None:
    """A study's definition with every key, defaults included."""
    document = load_study(study).model_dump(mode="json")
    if as_json:
        click.echo(json.dumps(document))
        return
    for key, value in document.items():
        click.echo(f"{key:12} = {json.dumps(value, ensure_ascii=False)}")
