"""`ensembler spec show`: the blend and its scores."""

from __future__ import annotations

import click

from ensembler.spec.loading import load_spec


@click.command()
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="Print the spec itself, the JSON document.")
def show(spec: str, *, as_json: bool) -> None:
    """Print the blend of SPEC and its scores, as `fit` printed them."""
    frozen = load_spec(spec)
    if as_json:
        click.echo(frozen.canonical(), nl=False)
        return
    from ensembler.report.spec_table import spec_table
    from ensembler.report.tables import as_text

    click.echo(as_text(spec_table(frozen)))
