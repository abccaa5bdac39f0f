"""The table that `evaluate` prints: blends side by side, best first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ensembler.comparing.comparison import Comparison, Standing
from ensembler.errors import first_few
from ensembler.fitting.statuses import remark
from ensembler.report.spec_table import CHOSEN_ANEW, PLACES, how_little, interval_text
from ensembler.report.tables import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NAME = 20  # characters of a blend's name in a line


def comparison_table(comparison: Comparison) -> RenderableType:
    """Blends as a person compares them.

    Args:
        comparison: of one store.

    Returns:
        A rich renderable, at most 80 columns wide.
    """
    from rich.console import Group

    return Group(_standings(comparison), "", *_notes(comparison))


def _standings(comparison: Comparison) -> Table:
    table = new_table("blend", "held out", "95 % interval", "behind the best", "gap", "s")
    best = comparison.blends[comparison.best]
    for name, standing in comparison.blends.items():
        lead = best.held_out.versus.get(name)
        table.add_row(
            _folded(name),
            f"{standing.held_out.score:{PLACES}}{'*' if name == comparison.chosen else ' '}",
            interval_text(standing.held_out.interval),
            interval_text(lead.interval) if lead else "",
            f"{standing.optimism:z.3f}",
            f"{standing.seconds:.{0 if standing.seconds >= 10.0 else 1}f}",
        )
    return table


def _folded(name: str) -> str:
    """A chain too long for its column in lines that break before a "+"."""
    lines = [""]
    for part in re.split(r"(?=\+)", name):
        if lines[-1] and len(lines[-1]) + len(part) > NAME:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _notes(comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.rows} rows in {comparison.groups} groups; {_foldings(comparison)}."
    yield "held out: each whole fit repeated without a fold, scored on that fold's rows."
    yield "(Members' means, which know no target, are taken over all rows.)"
    yield "behind the best: 95 % interval of what the best scores more on the same rows."
    yield "gap: in-sample less held out, what a fit flatters itself by. s: seconds of the"
    yield "fit on all rows, less those of what a simpler blend had fitted in the same run."
    yield f"* {_choice(comparison)}"
    if len(comparison.blends) > 1:
        yield "The choice was made by these very scores, which flatters the chosen one."
        choice = comparison.choice
        yield CHOSEN_ANEW
        yield f"{choice.score:{PLACES}} ({interval_text(choice.interval)})."
    unproven = _unproven(comparison)
    if unproven:
        yield (
            f"The lead of {comparison.best} over {first_few(unproven)} is unproven: its interval"
            " includes 0."
        )
    yield from how_little(comparison.rows, comparison.groups)
    for name, standing in comparison.blends.items():
        yield from _remarks(name, standing)


def _foldings(comparison: Comparison) -> str:
    if comparison.repeats == 1:
        return f"{comparison.folds} folds of whole groups"
    return f"{comparison.folds} folds of whole groups, dealt {comparison.repeats} times"


def _choice(comparison: Comparison) -> str:
    if comparison.chosen == comparison.best:
        return f"{comparison.best}: the best, and none simpler comes within a standard error."
    return (
        f"{comparison.chosen}: the simplest within one standard error of {comparison.best}, whose"
        " lead is unproven."
    )


def _unproven(comparison: Comparison) -> list[str]:
    """The blends that the best may not beat."""
    versus = comparison.blends[comparison.best].held_out.versus
    return [name for name in comparison.blends if name in versus and versus[name].interval[0] <= 0]


def _remarks(name: str, standing: Standing) -> Iterator[str]:
    said = remark(standing.status)
    if said is not None:
        yield f"{name}: {said}."
