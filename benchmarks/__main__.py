"""`python -m benchmarks [NAME …] [--size toy|small|full] [--json]`: all contestants in one run."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable

import click
from threadpoolctl import threadpool_limits

from benchmarks import (
    blenders,
    curation,
    fit,
    held_out,
    images,
    scale,
    selection,
    startup,
    statistics,
    submission,
    training,
)
from benchmarks.environment import NotInstalledError, describe_machine, machine, versions
from benchmarks.table import Result
from ensembler.report.tables import WIDTH

BENCHMARKS: dict[str, Callable[[str], list[Result]]] = {
    "fit": fit.run,
    "statistics": statistics.run,
    "scale": scale.run,
    "selection": selection.run,
    "csv": submission.run,
    "startup": startup.run,
    "held-out": held_out.run,
    "images": images.run,
    "curation": curation.run,
    "training": training.run,
    "blenders": blenders.run,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[NAME]...")
@click.option("--size", type=click.Choice(["toy", "small", "full"]), default="small")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def main(names: tuple[str, ...], size: str, as_json: bool) -> None:
    """Run benchmarks, all of them by default.

    They are fit, statistics, scale, selection, csv, startup, held-out, images,
    blenders, curation and training.

    Each checks its answers and stops with an error where one is wrong. All matrix products use one
    thread. A ratio is over the seconds of the table's first line. A benchmark whose packages are
    not installed says so and is skipped.
    """
    results: list[Result] = []
    absent: dict[str, str] = {}
    with threadpool_limits(1):
        for name in names or BENCHMARKS:
            click.echo(f"{name} …", err=True)
            try:
                tables = BENCHMARKS[name](size)
            except NotInstalledError as error:
                absent[name] = str(error)
                click.echo(f"{name}: not run, {error}", err=True)
                continue
            results += tables
            if not as_json:
                for result in tables:
                    click.echo(f"{result}\n")
    about = {"machine": machine(), "versions": versions()}
    if as_json:
        measured = [result.as_json() for result in results]
        document = {**about, "size": size, "results": measured, "absent": absent}
        click.echo(json.dumps(document, indent=2, sort_keys=True))
    else:
        click.echo(describe_machine())
        installed = (f"{name} {number}" for name, number in versions().items())
        click.echo(textwrap.fill(" · ".join(installed), WIDTH))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
