"""`ensembler store audit`: one line for each thing that would spoil a blend."""

from __future__ import annotations

from dataclasses import asdict

import click

from ensembler.cli.main import FINDINGS
from ensembler.cli.options import json_option
from ensembler.cli.output import print_json
from ensembler.errors import counted
from ensembler.store.audit import Finding, Kind
from ensembler.store.audit import audit as audit_store
from ensembler.store.reader import Store

NEEDS_TARGETS = {Kind.LEAK, Kind.MISALIGNED, Kind.FOLDS, Kind.GROUP_ACROSS_FOLDS}


@click.command()
@click.argument("store", type=click.Path())
@json_option
@click.pass_context
def audit(ctx: click.Context, store: str, as_json: bool) -> None:
    """Look for what spoils a blend: NaN, leaks, twins, misaligned rows, changed files, bad folds.

    Exits 3 when anything was found.
    """
    from rich.console import Console

    opened = Store.open(store)
    with Console(stderr=True).status(f"auditing {counted(len(opened.names), 'member')}"):
        findings = audit_store(opened)
    if as_json:
        found = [asdict(finding) for finding in findings]
        print_json({"checked": _checked(opened), "findings": found})
    elif findings:
        for finding in findings:
            click.echo(_line(finding))
    else:
        click.echo(_all_clear(opened))
    if findings:
        ctx.exit(FINDINGS)


def _line(finding: Finding) -> str:
    """The finding on one line: its kind, whose it is, what was found and what to do."""
    return f"{finding.kind}  {finding.member or 'store'}: {finding.message}"


def _checked(store: Store) -> list[Kind]:
    """The kinds that an audit of this store looks for."""
    return [kind for kind in Kind if store.manifest.targets or kind not in NEEDS_TARGETS]


def _all_clear(store: Store) -> str:
    checked = _checked(store)
    without = "; without targets the rest cannot be" if len(checked) < len(Kind) else ""
    rows, members = store.manifest.samples.rows, len(store.names)
    names = ", ".join(checked)
    return (
        f"no findings in {counted(rows, 'sample')}; members: {members} (checked: {names}{without})"
    )
