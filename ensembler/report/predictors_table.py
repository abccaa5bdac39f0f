"""The table that `predictors list` prints: a row for each predictor, then the pip lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensembler.predicting.listing import Listed
from ensembler.report.tables import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType


def predictors_table(listed: Sequence[Listed]) -> RenderableType:
    """A table of predictors; below it an unbroken pip line for those that lack a package.

    Args:
        listed: the registered predictors.
    """
    from rich.console import Group
    from rich.text import Text

    if not listed:
        return Text(
            "no predictors are registered; a package registers its own under the entry-point group"
            " ensembler.predictors"
        )
    table = new_table("predictor")
    table.columns[0].no_wrap = True  # so that it can be copied
    table.add_column("package", overflow="fold")
    table.add_column("installed", no_wrap=True)
    table.add_column("what it is")
    for entry in listed:
        table.add_row(entry.name, entry.package, "yes" if entry.installed else "no", entry.about)
    missing: dict[str, list[str]] = {}  # pip line → names of predictors
    for entry in listed:
        if entry.install is not None:
            missing.setdefault(entry.install, []).append(entry.name)
    notes: list[Text] = []
    for line, names in missing.items():
        notes.append(Text(f"\n{', '.join(names)}:"))
        notes.append(Text(f"  {line}", no_wrap=True, overflow="ignore"))  # so that it can be copied
    notes += [Text(f"\n{entry.name}: {entry.broken}") for entry in listed if entry.broken]
    return Group(table, *notes)
