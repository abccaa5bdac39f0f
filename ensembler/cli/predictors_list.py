"""`ensembler predictors list`: what is registered, and what would have to be installed."""

from __future__ import annotations

import click

from ensembler.cli.options import json_option
from ensembler.cli.output import print_json


@click.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the registered predictors: the names that a definition's `adapter` takes.

    For one whose model libraries are not installed, the pip line is shown that installs them. All
    that a definition may say: `ensembler predictors show NAME`.
    """
    from ensembler.predicting.listing import list_predictors

    listed = list_predictors()
    if as_json:
        document = {
            one.name: {
                "package": one.package,
                "about": one.about,
                "installed": one.installed,
                "missing": list(one.missing),
                "install": one.install,
                "broken": one.broken,
            }
            for one in listed
        }
        print_json(document)
        return
    from ensembler.report.predictors_table import predictors_table
    from ensembler.report.tables import as_text

    click.echo(as_text(predictors_table(listed)))
