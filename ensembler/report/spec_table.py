"""The table that `fit` and `spec show` print: members above, the blend's scores below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ensembler.report.tables import new_table
from ensembler.report.tree_lines import tree_lines
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.model import EnsembleSpec, HeldOut, Scores
from ensembler.spec.weighted import MemberSpec
from ensembler.store.mix import mix_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

PLACES = "z.4f"  # z: what rounds to zero has no sign
FEW_GROUPS = 20  # a bootstrap over fewer draws much the same groups again and again
FEW_ROWS = 100  # with fewer, a fit on other rows could be very different

CHOSEN_ANEW = "For each fold chosen anew by the others' scores (of fits that saw the fold):"

_PLAIN = {"prior": "the constant prior", "uniform": "uniform", "single_best": "the single best"}


def spec_table(spec: EnsembleSpec) -> RenderableType:
    """The tables of a frozen spec, with notes.

    Args:
        spec: any frozen spec.

    Returns:
        A rich renderable, at most 80 columns wide.
    """
    from rich.console import Group

    return Group(_members(spec), "", *_tree(spec), _scores(spec), "", *_notes(spec))


def _members(spec: EnsembleSpec) -> Table:
    table = new_table("member", "share", "norm", "rows", "alone", "loss without")
    blended = {member.name: member for member in spec.weighted.members}
    for name, score in sorted(spec.scores.members.items(), key=lambda item: -abs(item[1].share)):
        member = blended.get(name)
        table.add_row(
            name,
            f"{score.share:{PLACES}}" if member else "–",
            _norm(member) if member else "–",
            f"{score.rows}",
            f"{score.alone:{PLACES}}",
            "–" if score.loss_without is None else f"{score.loss_without:+{PLACES}}",
        )
    if spec.weighted.prior.weight != 0.0:
        table.add_row("prior (constant)", f"{spec.scores.prior_share:{PLACES}}", "", "", "", "")
    return table


def _norm(member: MemberSpec) -> str:
    return f"‖x‖^-{member.alpha:.3g}" if member.norm == "power" else member.norm


def _tree(spec: EnsembleSpec) -> Iterator[str]:
    if isinstance(spec.blend, ComposedSpec):
        yield "the blend, its parts indented below it:"
        yield from tree_lines(spec.blend.tree, "  ")
        yield ""


def _scores(spec: EnsembleSpec) -> Table:
    held_out, baselines = spec.scores.held_out, spec.scores.baselines
    table = new_table("mean cosine", "score", "95 % interval", "lead", "95 % interval")
    table.add_row("blend, in-sample", f"{spec.scores.in_sample:{PLACES}}", "", "", "")
    if held_out is None or baselines is None:
        return table
    interval = interval_text(held_out.interval)
    table.add_row("blend, held out", f"{held_out.score:{PLACES}}", interval, "", "")
    for name, score in sorted(baselines.model_dump().items(), key=lambda item: -item[1]):
        lead = held_out.versus[name]
        table.add_row(
            f"  {_PLAIN[name]}",
            f"{score:{PLACES}}",
            "",
            f"{lead.difference:+{PLACES}}",
            interval_text(lead.interval, "+"),
        )
    return table


def interval_text(interval: tuple[float, float], sign: str = "") -> str:
    """The two ends of an interval as text; `sign` is "+" for an interval of differences."""
    low, high = interval
    return f"{low:{sign}{PLACES}} … {high:{sign}{PLACES}}"


def _notes(spec: EnsembleSpec) -> Iterator[str]:
    scores, study = spec.scores, spec.provenance.study
    centring = "centred (less its mean)" if spec.weighted.centred else "as it is"
    yield f"{scores.rows} rows in {scores.groups} groups; each member {centring};"
    trials = f"{spec.provenance.trials} trials of " if spec.provenance.trials else ""
    yield f"{trials}study {study['name']!r}."
    if "preselection" in study:
        looked_at, taken = (study["preselection"][key] for key in ("looked_at", "taken"))
        yield f"{looked_at} members were looked at, each by itself; {taken} of them, those above,"
        yield "were selected, on all rows or without a fold. Baselines are of all members."
    if "blender" in study:
        yield f"blender: {study['blender']}."
    if "corpus" in study:
        yield f"corpus: {study['corpus'][:12]}…."
    if "target_mix" in study:
        yield f"All scores are for the mix of sources {mix_text(study['target_mix'])};"
        yield "rows of other sources weigh nothing."
    if spec.seconds_per_image is not None:
        yield f"The members take {spec.seconds_per_image:.3g} s per image together."
    yield "share: weight times mean length under the norm; magnitudes sum to 1."
    if isinstance(spec.blend, ComposedSpec):
        yield "(share, norm, centring, trials, loss without: of the plain weights that stand"
        yield "in for the blend when a member is missing.)"
    yield "alone: over the rows a member covers."
    if scores.held_out is None:
        yield "No held-out score: the study's validation is none."
        return
    solved = study.get("weights", "exact") == "exact"
    yield "loss without: held-out score lost when it is left out and the others"
    yield f"{'are solved again' if solved else 'keep their weights'}."
    whole = "fit" if "blender" in study else "search"
    yield f"held out: the whole {whole} repeated without each of {scores.folds} folds of whole"
    yield "groups, priors included; nothing that scores a row saw its group's targets."
    if "chosen_among" in study:
        yield f"Only the choice of the blender among {len(study['chosen_among'])} was made by these"
        yield "scores themselves, which flatters the chosen blender's score a little."
        if "choice_held_out" in study:  # the first specs do not have it
            score = f"{study['choice_held_out']:{PLACES}}"
            yield CHOSEN_ANEW
            yield f"{score}."
    yield "(Members' means, which know no target, are taken over all rows.)"
    yield f"folds: {_origin_of_folds(scores)}."
    yield "lead: of the blend, held out, over each baseline on the same rows."
    yield from size_warnings(scores.rows, scores.groups)
    yield from _doubts(scores.held_out)


def size_warnings(rows: int, groups: int) -> Iterator[str]:
    """Warnings about a small store, a sentence each."""
    if groups < FEW_GROUPS:
        yield f"The intervals are rough: they rest on only {groups} groups."
    if rows < FEW_ROWS:
        yield f"{rows} rows are few: fitted on others, the blend may be very different, which the"
        yield "intervals do not show, since nothing is fitted again for them."


def _origin_of_folds(scores: Scores) -> str:
    return f"dealt anew, because {scores.dealt_anew}" if scores.dealt_anew else "the store's"


def _doubts(held_out: HeldOut) -> Iterator[str]:
    """A sentence for each baseline over which the lead is unproven or negative."""
    for name, lead in held_out.versus.items():
        low, high = lead.interval
        if high < 0.0:
            yield f"The blend is worse than {_PLAIN[name]}: submit that instead."
        elif low <= 0.0:
            yield f"The lead over {_PLAIN[name]} is unproven: its interval includes 0."
