"""The output of `store show`: the samples in a few lines, then a row for each member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ensembler.errors import counted, first_few
from ensembler.report.tables import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ensembler.store.summary import StoreSummary


def store_table(summary: StoreSummary) -> RenderableType:
    """A store's summary as text and a table, at most 80 columns wide."""
    from rich.console import Group
    from rich.text import Text

    folds = {fold: rows for fold, rows in summary.folds.items() if fold >= 0}
    in_none = summary.folds.get(-1, 0)
    lines = [
        f"{counted(summary.samples, 'sample')} in {counted(summary.groups, 'group')}",
        f"folds: {_counts(folds)}" + (f", {counted(in_none, 'row')} in none" if in_none else ""),
        f"sources: {_counts({name or '(unnamed)': n for name, n in summary.sources.items()})}",
        *([f"further columns: {first_few(summary.columns, 8)}"] if summary.columns else []),
        f"targets: {_targets(summary)}",
    ]
    head = Text("\n".join(lines))
    if not summary.members:
        return Group(head, "no members yet: add one with `ensembler store add`")
    table = new_table("member", "rows", "coverage", "zero rows", "stored as", "alone")
    for member in summary.members:
        table.add_row(
            member.name,
            str(member.rows),
            f"{member.coverage:.1%}",
            str(member.zero_rows),
            member.dtype,
            "" if member.alone is None else f"{member.alone:.4f}",
        )
    return Group(head, "", table)


def _counts(rows: Mapping[int, int] | Mapping[str, int]) -> str:
    return first_few((f"{name} ({count})" for name, count in rows.items()), 8) or "none"


def _targets(summary: StoreSummary) -> str:
    if not summary.targets:
        return "none (a store of test embeddings)"
    origin = f", encoded by {summary.encoder}" if summary.encoder else ""
    return f"{summary.dim} numbers each{origin}"
