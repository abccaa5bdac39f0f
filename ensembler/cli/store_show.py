"""`ensembler store show`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ensembler.errors import first_few

if TYPE_CHECKING:
    from ensembler.store.summary import StoreSummary

WIDTH: Final = 80  # columns at most, whatever the terminal


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(store: Path, as_json: bool) -> None:
    """What STORE holds: its samples, and each member with its score alone."""
    from ensembler.store.summary import summarise_store

    summary = summarise_store(store)
    if as_json:
        click.echo(json.dumps(asdict(summary), ensure_ascii=False))
        return
    _print(summary)


def _print(summary: StoreSummary) -> None:
    from rich.console import Console
    from rich.markup import escape

    terminal = Console()
    console = Console(width=min(WIDTH, terminal.width), highlight=False, emoji=False)
    unnumbered = summary.folds.get(-1, 0)
    folds = {fold: rows for fold, rows in summary.folds.items() if fold >= 0}
    lines = [
        f"{summary.samples} samples in {summary.groups} groups",
        f"folds: {_counts(folds)}" + (f", {unnumbered} rows in none" if unnumbered else ""),
        f"sources: {_counts({name or '(unnamed)': n for name, n in summary.sources.items()})}",
        f"targets: {_targets(summary)}",
    ]
    console.print(escape("\n".join(lines)))
    if summary.members:
        console.print(_members_table(summary))
    else:
        console.print("no members yet: add one with `ensembler store add`")


def _counts(rows: Mapping[int, int] | Mapping[str, int]) -> str:
    return first_few((f"{name} ({count})" for name, count in rows.items()), 8) or "none"


def _targets(summary: StoreSummary) -> str:
    if not summary.targets:
        return "none (a store of test embeddings)"
    origin = f", encoded by {summary.encoder}" if summary.encoder else ""
    return f"{summary.dim} numbers each{origin}"


def _members_table(summary: StoreSummary) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("member", overflow="fold")
    for heading in ("rows", "coverage", "zero rows", "stored as", "alone"):
        table.add_column(heading, justify="right", no_wrap=True)
    for member in summary.members:
        table.add_row(
            escape(member.name),
            str(member.rows),
            f"{member.coverage:.1%}",
            str(member.zero_rows),
            member.dtype,
            "" if member.alone is None else f"{member.alone:.4f}",
        )
    return table
