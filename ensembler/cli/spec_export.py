"""`ensembler spec export`: the blend as a stand-alone numpy file."""

from __future__ import annotations

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.errors import InputError
from ensembler.files import atomic_write, writable_file
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
    help="File to write; - prints it.",
)
@json_option
def export(spec: str, *, out: str, as_json: bool) -> None:
    """Write SPEC as a stand-alone numpy file that gives the same blend.

    With --json, the object's key python holds the file's path, or its source where none is named.
    """
    source = export_python(load_spec(spec))
    if out != "-":
        _write(out, source)
    if as_json:
        print_json({"python": source if out == "-" else out})
    elif out == "-":
        click.echo(source, nl=False)


def _write(out: str, source: str) -> None:
    try:
        with atomic_write(writable_file(out)) as file:
            file.write(source.encode())
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror or error}); name a file in a folder that can"
            " be written"
        ) from error
