"""`ensembler spec verify`: check a spec's digest and, against a store, its score."""

from __future__ import annotations

import json

import click

from ensembler.cli.main import FINDINGS
from ensembler.cli.options import json_option
from ensembler.spec.loading import load_spec


@click.command()
@click.argument("spec")
@click.option("--store", metavar="OOF", help="Score the blend again on the store it came from.")
@json_option
@click.pass_context
def verify(context: click.Context, *, spec: str, store: str | None, as_json: bool) -> None:
    """Check that SPEC is as it was written; with --store, that it is still that store's.

    Exits with 3 on findings; a spec that was changed is bad input, exit 2.
    """
    from ensembler.spec import verify as against
    from ensembler.store.reader import Store

    frozen = load_spec(spec)
    found = against.verify(frozen, Store.open(store)) if store else None
    findings = list(found.findings) if found else []
    if as_json:
        result = {
            "digest": frozen.digest,
            "score": found.score if found else None,
            "findings": findings,
        }
        click.echo(json.dumps(result))
    else:
        click.echo(f"{spec}: digest {frozen.digest[:12]} fits the contents")
        if found and found.score is not None:
            stated = frozen.scores.in_sample
            click.echo(f"score on {store}: {found.score:.7f} (the spec says {stated:.7f})")
        for finding in findings:
            click.echo(finding)
    context.exit(FINDINGS if findings else 0)
