"""The output of `evaluate`: the comparison, then an answer to each question that was asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from ensembler.errors import first_few
from ensembler.evaluation.breakdown import Part
from ensembler.evaluation.budgets import Budget
from ensembler.evaluation.contributing import Contributions
from ensembler.evaluation.paths import Step
from ensembler.evaluation.result import Evaluation
from ensembler.evaluation.rows import Nearest, Row
from ensembler.evaluation.series import Measured
from ensembler.evaluation.shift import safest
from ensembler.report.comparison_table import comparison_table
from ensembler.report.spec_table import PLACES, interval_text
from ensembler.report.tables import new_table
from ensembler.store.mix import mix_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

COLUMNS_WIDTH = 50  # characters for columns of blends or members, beside names and numbers
SCORE_WIDTH, GAP = 6, 3  # characters of a column at least, and before it
VALUES = 8  # values of a column that are shown, the worst ones
VALUE = 20  # characters of a value that are shown
PROMPT = 44  # characters of a prompt that are shown
WORTH = 0.001  # score gained: a budget that gains less has no line of its own
MEASURED = ("held out", "95 % interval", "behind the best")


def evaluation_tables(evaluation: Evaluation) -> RenderableType:
    """The tables of a whole evaluation.

    Args:
        evaluation: the evaluation of one store.

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
        parts += ["", f"Contributions of the members to {evaluation.plain}:"]
        parts += [*_contributions(evaluation.contributions)]
    if evaluation.budgets:
        parts += ["", f"Scores by seconds per image, blended by {evaluation.plain}:"]
        parts += [*_budgets(evaluation.budgets)]
    return Group(*parts)


def _shown(evaluation: Evaluation) -> list[str]:
    """The names of the best blends that fit as columns, the chosen one always among them."""
    best_first = list(evaluation.comparison.blends)
    chosen_first = sorted(best_first, key=lambda name: name != evaluation.chosen)
    fitting = _fitting(chosen_first)
    return [name for name in best_first if name in fitting]


def _fitting(names: Sequence[str]) -> Sequence[str]:
    """The leading names that fit as columns; always the first."""
    room = COLUMNS_WIDTH
    for count, name in enumerate(names):
        room -= max(len(name), SCORE_WIDTH) + GAP
        if count and room < 0:
            return names[:count]
    return names


def _rest(what: str, shown: Sequence[str], names: Collection[str]) -> Iterator[str]:
    if len(shown) < len(names):
        are = "is" if len(shown) == 1 else "are"
        yield f"{len(shown)} of {len(names)} {what} {are} shown; --json has all."


def _by_value(
    evaluation: Evaluation, heading: str, parts: Sequence[Part]
) -> Iterator[RenderableType]:
    shown = _shown(evaluation)
    table = new_table(heading, "rows", *shown)
    for part in parts[:VALUES]:
        scores = (f"{part.blends[name]:{PLACES}}" for name in shown)
        table.add_row(_value(part.value), f"{part.rows}", *scores)
    if len(parts) > VALUES:
        table.add_row(f"({len(parts) - VALUES} better)", "")
    yield table
    yield from _rest("blends", shown, evaluation.comparison.blends)


def _value(value: str) -> str:
    text = value or "(none)"
    return text if len(text) <= VALUE else f"{text[: VALUE - 1]}…"


def _members_by_value(evaluation: Evaluation) -> Iterator[RenderableType]:
    """A table of as many members as fit, in falling order of the mean score over the values."""
    parts = evaluation.parts
    mean = {name: sum(p.members[name] or 0.0 for p in parts) for name in parts[0].members}
    shown = _fitting(sorted(mean, key=lambda name: -mean[name]))
    table = new_table(f"members by {evaluation.column}", "rows", *shown)
    for part in parts[:VALUES]:
        scores = (part.members[name] for name in shown)
        cells = ("–" if score is None else f"{score:{PLACES}}" for score in scores)
        table.add_row(_value(part.value), f"{part.rows}", *cells)
    yield table
    yield from _rest("members", shown, mean)


def _rows(evaluation: Evaluation) -> Iterator[RenderableType]:
    """A table with two lines per row: the row itself, and the row nearest to its prediction."""
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
        table.add_row(_value(part.source), f"{part.rows}", *scores)
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
            f"{_value(source)} {name}" for source, name in best.items()
        )
    if evaluation.kept_in:
        needed = first_few(map(_value, evaluation.kept_in))
        yield f"Without {needed} the others are too few to fit on."
    if several:
        yield (
            f"{safest(evaluation.left_out)} is the safest: its worst loss against a source's best"
            " is the smallest."
        )


def _own_means(evaluation: Evaluation) -> Iterator[RenderableType]:
    """A table that shows whether sources are better centred on their own means.

    It is about the best blend that can be centred.
    """
    parts = evaluation.left_out
    blend = next((name for name in evaluation.comparison.blends if name in parts[0].own_means), "")
    if blend:
        yield ""
        table = new_table(f"{blend}, centred on", "others' means", "its own")
        for part in parts:
            centred = f"{part.own_means[blend]:{PLACES}}" if blend in part.own_means else "–"
            table.add_row(_value(part.source), f"{part.scores[blend]:{PLACES}}", centred)
        yield table


def _contributions(contributions: Contributions) -> Iterator[RenderableType]:
    table = new_table("member", "loss without", "errs most like", "correlation")
    for name, loss in sorted(contributions.losses.items(), key=lambda item: -item[1]):
        correlations = contributions.correlations[name]
        others = {n: r for n, r in correlations.items() if n != name and r is not None}
        alike = max(others, key=others.__getitem__, default=None)
        table.add_row(
            name,
            f"{loss:+{PLACES}}",
            alike or "–",
            f"{others[alike]:{PLACES}}" if alike else "–",
        )
    yield table
    for heading, path in (
        ("dropped, the weakest", contributions.drop),
        ("taken, the strongest", contributions.take),
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
    members = ", ".join(enough.members)
    yield f"From {enough.seconds:.3g} s on, within one standard error of the best: {members}"


def _worth_showing(budgets: tuple[Budget, ...]) -> Iterator[Budget]:
    """The first budget, each that gains WORTH, and the first within an error of the best."""
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
