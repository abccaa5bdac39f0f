"""`ensembler spec export`: the blend as a stand-alone numpy file."""

from __future__ import annotations

from pathlib import Path

import click

from ensembler.errors import InputError
from ensembler.files import atomic_write
from ensembler.spec.export import export_python
from ensembler.spec.loading import load_spec


@click.command()
@click.argument("spec")
@click.option(
    "--python",
    "out",
    default="-",
    show_default=True,
    metavar="FILE",
    help="The file to write; - prints it.",
)
def export(spec: str, *, out: str) -> None:
    """Write SPEC as a stand-alone numpy file that gives the same blend."""
    source = export_python(load_spec(spec))
    if out == "-":
        click.echo(source, nl=False)
        return
    try:
        with atomic_write(Path(out)) as file:
            file.write(source.encode())
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror or error}); name a file in a folder that can"
            " be written"
        ) from error
