"""What `predictors list` prints: a row for each predictor, then what to install."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensembler.predicting.listing import Listed
from ensembler.report.tables import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType


def predictors_table(listed: Sequence[Listed]) -> RenderableType:
    """The predictors; below them the pip lines, whole, for those that lack a package.

    Args:
        listed: what is registered.
    """
    from rich.console import Group
    from rich.text import Text

    if not listed:
        return Text(
            "no predictors are registered; a package registers its own under the entry-point group"
            " ensembler.predictors"
        )
    table = new_table("predictor")
    table.columns[0].no_wrap = True  # to be copied whole
    table.add_column("package", overflow="fold")
    table.add_column("installed", no_wrap=True)
    table.add_column("what it is")
    for one in listed:
        table.add_row(one.name, one.package, "yes" if one.installed else "no", one.about)
    wanting: dict[str, list[str]] = {}
    for one in listed:
        if one.install is not None:
            wanting.setdefault(one.install, []).append(one.name)
    below: list[Text] = []
    for line, names in wanting.items():
        below.append(Text(f"\n{', '.join(names)}:"))
        below.append(Text(f"  {line}", no_wrap=True, overflow="ignore"))  # to be copied whole
    below += [Text(f"\n{one.name}: {one.broken}") for one in listed if one.broken is not None]
    return Group(table, *below)
