"""The table that `evaluate` prints: blends side by side, best first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ensembler.errors import first_few
from ensembler.evaluation.comparison import Comparison, Standing
from ensembler.fitting.statuses import remark
from ensembler.report.spec_table import (
    CHOSEN_ANEW,
    FEW_GROUPS,
    PLACES,
    interval_text,
    size_warnings,
)
from ensembler.report.tables import new_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NAME = 20  # characters of a blend's name in a line


def comparison_table(comparison: Comparison) -> RenderableType:
    """A table of blends, best first, with notes.

    Args:
        comparison: the comparison of blends on one store.

    Returns:
        A rich renderable, at most 80 columns wide.
    """
    from rich.console import Group

    return Group(_standings(comparison), "", *_notes(comparison))


def _standings(comparison: Comparison) -> Table:
    table = new_table("blend", "held out", "95 % interval", "behind the best", "gap", "s")
    best = comparison.blends[comparison.best]
    marked = comparison.chosen if len(comparison.blends) > 1 else None
    for name, standing in comparison.blends.items():
        lead = best.held_out.versus.get(name)
        table.add_row(
            _folded(name),
            f"{standing.held_out.score:{PLACES}}{'*' if name == marked else ' '}",
            interval_text(standing.held_out.interval),
            interval_text(lead.interval) if lead else "",
            f"{standing.optimism:z.3f}",
            f"{standing.seconds:.{0 if standing.seconds >= 10.0 else 1}f}",
        )
    return table


def _folded(name: str) -> str:
    """A blend's name, broken into lines before a "+" where it is too long for its column."""
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
    yield "behind the best: 95 % interval of the best blend's lead on the same rows."
    yield "gap: in-sample less held-out score, the optimism of a fit. s: seconds of the fit"
    yield "on all rows, without parts that a simpler blend had fitted in the same run."
    if len(comparison.blends) > 1:
        yield f"* {_choice(comparison)}"
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
    yield from size_warnings(comparison.rows, comparison.groups)
    for name, standing in comparison.blends.items():
        yield from _remarks(name, standing)


def _foldings(comparison: Comparison) -> str:
    if comparison.repeats == 1:
        return f"{comparison.folds} folds of whole groups"
    return f"{comparison.folds} folds of whole groups, dealt {comparison.repeats} times"


def _choice(comparison: Comparison) -> str:
    chosen, best = comparison.chosen, comparison.best
    why = f"the simplest within one standard error of {best}, whose lead is unproven."
    if chosen == best:
        why = "the best, and none simpler comes within a standard error."
    if comparison.groups < FEW_GROUPS:  # what choosing otherwise is worth: `evaluation.choice`
        why += f" {comparison.groups} groups are few to choose by: others may well choose another."
    return f"{chosen}: {why}"


def _unproven(comparison: Comparison) -> list[str]:
    """The blends over which the lead of the best is unproven."""
    versus = comparison.blends[comparison.best].held_out.versus
    return [name for name in comparison.blends if name in versus and versus[name].interval[0] <= 0]


def _remarks(name: str, standing: Standing) -> Iterator[str]:
    sentence = remark(standing.status)
    if sentence is not None:
        yield f"{name}: {sentence}."
