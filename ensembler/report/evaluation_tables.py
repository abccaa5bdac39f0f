"""What `evaluate` prints: the comparison, then each question that was asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from ensembler.comparing.breakdown import Part
from ensembler.comparing.budgets import Budget
from ensembler.comparing.contributing import Contributions
from ensembler.comparing.evaluation import Evaluation
from ensembler.comparing.paths import Step
from ensembler.comparing.rows import Nearest, Row
from ensembler.comparing.series import Measured
from ensembler.comparing.shift import safest
from ensembler.errors import first_few
from ensembler.report.comparison_table import comparison_table
from ensembler.report.spec_table import PLACES, interval_text
from ensembler.report.tables import new_table
from ensembler.store.mix import mix_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLUMNS_WIDTH = 50  # characters for columns of blends or members beside names and numbers
SCORE_WIDTH, GAP = 6, 3  # of a column at least, and before it
VALUES = 8  # of a column with many: the worst
VALUE = 20  # characters of one
PROMPT = 44  # characters of a prompt that are shown
WORTH = 0.001  # of score: for less no budget has a line of its own
MEASURED = ("held out", "95 % interval", "behind the best")


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """A whole evaluation as a person reads it.

    Args:
        evaluation: of one store.

    Returns:
        A rich renderable, at most 80 columns wide.
    """
    from rich.console import Group

    parts: list[RenderableType] = [comparison_table(evaluation.comparison)]
    if evaluation.target_mix is not None:
        mix = mix_text(evaluation.target_mix)
        parts.append(f"Fits and scores are for the mix of sources {mix}; others weigh nothing.")
    several = len(evaluation.parts) > 1
    if several or evaluation.column_asked:
        parts += ["", *_by_value(evaluation, f"by {evaluation.column}", evaluation.parts)]
    if evaluation.column_asked:
        parts += ["", *_members_by_value(evaluation)]
        if evaluation.groups and evaluation.column != "group":
            parts += ["", *_by_value(evaluation, "the worst groups", evaluation.groups)]
    if evaluation.worst:
        parts += ["", *_rows(evaluation)]
    if evaluation.left_out:
        parts += ["", *_left_out(evaluation), *_safest(evaluation), *_own_means(evaluation)]
    if evaluation.contributions is not None:
        if several and not evaluation.column_asked:
            parts += ["", *_members_by_value(evaluation)]
        parts += ["", f"What members give to {evaluation.plain}:"]
        parts += [*_contributions(evaluation.contributions)]
    if evaluation.budgets:
        parts += ["", f"What seconds per image buy, blended by {evaluation.plain}:"]
        parts += [*_budgets(evaluation.budgets)]
    return Group(*parts)


def _shown(evaluation: Evaluation) -> list[str]:
    """The best blends, the chosen one always among them."""
    best_first = list(evaluation.comparison.blends)
    chosen_first = sorted(best_first, key=lambda name: name != evaluation.chosen)
    fitting = _fitting(chosen_first)
    return [name for name in best_first if name in fitting]


def _fitting(names: Sequence[str]) -> Sequence[str]:
    """The first name, and those after it up to the first that has no room as a column."""
    left = COLUMNS_WIDTH
    for place, name in enumerate(names):
        left -= max(len(name), SCORE_WIDTH) + GAP
        if place and left < 0:
            return names[:place]
    return names


def _rest(what: str, shown: Sequence[str], names: Collection[str]) -> Iterator[str]:
    if len(shown) < len(names):
        yield f"Shown are {len(shown)} of {len(names)} {what}; --json has all."


def _by_value(
    evaluation: Evaluation, heading: str, parts: Sequence[Part]
) -> Iterator[RenderableType]:
    shown = _shown(evaluation)
    table = new_table(heading, "rows", *shown)
    for part in parts[:VALUES]:
        scores = (f"{part.blends[name]:{PLACES}}" for name in shown)
        table.add_row(_value(part), f"{part.rows}", *scores)
    if len(parts) > VALUES:
        table.add_row(f"({len(parts) - VALUES} better)", "")
    yield table
    yield from _rest("blends", shown, evaluation.comparison.blends)


def _value(part: Part) -> str:
    text = part.value or "(none)"
    return text if len(text) <= VALUE else f"{text[: VALUE - 1]}…"


def _members_by_value(evaluation: Evaluation) -> Iterator[RenderableType]:
    """As many members as fit, those first that score highest in the mean over the values."""
    parts = evaluation.parts
    mean = {name: sum(p.members[name] or 0.0 for p in parts) for name in parts[0].members}
    shown = _fitting(sorted(mean, key=lambda name: -mean[name]))
    table = new_table(f"members by {evaluation.column}", "rows", *shown)
    for part in parts[:VALUES]:
        found = (part.members[name] for name in shown)
        scores = ("–" if score is None else f"{score:{PLACES}}" for score in found)
        table.add_row(_value(part), f"{part.rows}", *scores)
    yield table
    yield from _rest("members", shown, mean)


def _rows(evaluation: Evaluation) -> Iterator[RenderableType]:
    """Two lines a row: what it is, and what its prediction is taken for."""
    what = "group" if evaluation.worst[0].prompt is None else "prompt"
    table = new_table(f"rows of {evaluation.chosen}", "cosine")
    table.add_column(what, overflow="ellipsis", no_wrap=True)
    for rows in (evaluation.worst, tuple(reversed(evaluation.best))):
        for row in rows:
            table.add_row(row.id, f"{row.cosine:{PLACES}}", _words(row))
            table.add_row("  nearest", f"{row.nearest.cosine:{PLACES}}", _words(row.nearest))
        table.add_section()
    yield table
    yield f"nearest: of other groups, the {what} whose target is nearest the prediction."


def _words(row: Row | Nearest) -> str:
    text = row.group if row.prompt is None else row.prompt
    return text if len(text) <= PROMPT else f"{text[: PROMPT - 1]}…"


def _left_out(evaluation: Evaluation) -> Iterator[RenderableType]:
    shown = _shown(evaluation)
    table = new_table("source left out", "rows", *shown)
    for part in evaluation.left_out:
        scores = (f"{part.scores[name]:{PLACES}}" for name in shown)
        table.add_row(part.source, f"{part.rows}", *scores)
    yield table
    yield from _rest("blends", shown, evaluation.comparison.blends)
    if evaluation.target_mix is not None:
        yield "Not under the mix: these fits and scores weigh rows as the store does."


def _safest(evaluation: Evaluation) -> Iterator[str]:
    best = {part.source: part.best for part in evaluation.left_out}
    several = len(evaluation.comparison.blends) > 1
    if not several:
        yield "Fitted on the other sources."
    elif len(set(best.values())) == 1:
        yield f"Fitted on the other sources; {evaluation.left_out[0].best} is the best for each."
    else:
        yield "Fitted on the other sources; the best for each: " + ", ".join(
            f"{source} {name}" for source, name in best.items()
        )
    if evaluation.kept_in:
        yield f"Without {first_few(evaluation.kept_in)} the others are too few to fit on."
    if several:
        yield (
            f"Behind each source's best, {safest(evaluation.left_out)} loses least where it loses"
            " most."
        )


def _own_means(evaluation: Evaluation) -> Iterator[RenderableType]:
    """Of the best blend that can be: is a source better centred on its own means?"""
    parts = evaluation.left_out
    blend = next((name for name in evaluation.comparison.blends if name in parts[0].own_means), "")
    if blend:
        yield ""
        table = new_table(f"{blend}, centred on", "others' means", "its own")
        for part in parts:
            own = f"{part.own_means[blend]:{PLACES}}" if blend in part.own_means else "–"
            table.add_row(part.source, f"{part.scores[blend]:{PLACES}}", own)
        yield table


def _contributions(found: Contributions) -> Iterator[RenderableType]:
    table = new_table("member", "loss without", "errs most like", "correlation")
    for name, loss in sorted(found.losses.items(), key=lambda item: -item[1]):
        others = {n: r for n, r in found.correlations[name].items() if n != name and r is not None}
        alike = max(others, key=others.__getitem__, default=None)
        table.add_row(
            name,
            f"{loss:+{PLACES}}",
            alike or "–",
            f"{others[alike]:{PLACES}}" if alike else "–",
        )
    yield table
    for heading, path in (
        ("dropped, the weakest", found.drop),
        ("taken, the strongest", found.take),
    ):
        yield ""
        yield _path(heading, path)
        enough = min(step.members for step in path if step.held_out.within_error)
        yield _needed(enough)


def _needed(members: int) -> str:
    if members == 1:
        return "1 member is enough: it scores within a standard error of the best number."
    return f"{members} members are needed: fewer score more than a standard error less."


def _path(heading: str, path: tuple[Step, ...]) -> Table:
    table = new_table(heading, "members", *MEASURED)
    for step in path:
        table.add_row(step.name or "–", f"{step.members}", *_measured(step.held_out))
    return table


def _budgets(budgets: tuple[Budget, ...]) -> Iterator[RenderableType]:
    table = new_table("s per image", "members", *MEASURED)
    for budget in _worth_showing(budgets):
        cells = _measured(budget.held_out)
        table.add_row(f"{budget.seconds:.3g}", f"{len(budget.members)}", *cells)
    yield table
    enough = _enough(budgets)
    yield (
        f"{enough.seconds:.3g} s come within one standard error of the best: "
        + ", ".join(enough.members)
    )


def _worth_showing(budgets: tuple[Budget, ...]) -> Iterator[Budget]:
    """The first, then each that scores more by WORTH, and the first within an error of the best."""
    shown = None
    for budget in budgets:
        score = budget.held_out.score
        if shown is None or score >= shown + WORTH or budget == _enough(budgets):
            shown = score
            yield budget


def _enough(budgets: tuple[Budget, ...]) -> Budget:
    return next(budget for budget in budgets if budget.held_out.within_error)


def _measured(held_out: Measured) -> tuple[str, str, str]:
    return (
        f"{held_out.score:{PLACES}}",
        interval_text(held_out.interval),
        f"{held_out.behind:{PLACES}}",
    )
