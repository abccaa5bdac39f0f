"""The table that `fit` and `spec show` print: members above, the blend's scores below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ensembler.report.tables import new_table
from ensembler.spec.model import EnsembleSpec, HeldOut, MemberSpec

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_PLAIN = {"prior": "the constant prior", "uniform": "uniform", "single_best": "the single best"}


def spec_table(spec: EnsembleSpec) -> RenderableType:
    """A frozen spec as a person reads it.

    Args:
        spec: any frozen spec.

    Returns:
        A rich renderable, at most 80 columns wide.
    """
    from rich.console import Group

    return Group(_members(spec), "", _scores(spec), "", *_notes(spec))


def _members(spec: EnsembleSpec) -> Table:
    table = new_table("member", "weight", "norm", "rows", "alone", "loss without")
    blended = {member.name: member for member in spec.blend.members}
    by_weight = sorted(
        spec.scores.members.items(),
        key=lambda item: -abs(blended[item[0]].weight) if item[0] in blended else 0.0,
    )
    for name, score in by_weight:
        member = blended.get(name)
        table.add_row(
            name,
            f"{member.weight:.4f}" if member else "–",
            _norm(member) if member else "–",
            f"{score.rows}",
            f"{score.alone:.4f}",
            "–" if score.loss_without is None else f"{score.loss_without:+.4f}",
        )
    if spec.blend.prior.weight != 0.0:
        table.add_row("prior (constant)", f"{spec.blend.prior.weight:.4f}", "", "", "", "")
    return table


def _norm(member: MemberSpec) -> str:
    return f"‖x‖^-{member.alpha:.3g}" if member.norm == "power" else member.norm


def _scores(spec: EnsembleSpec) -> Table:
    held_out, baselines = spec.scores.held_out, spec.scores.baselines
    table = new_table("mean cosine", "score", "95 % interval", "lead", "95 % interval")
    table.add_row("blend, in-sample", f"{spec.scores.in_sample:.4f}", "", "", "")
    if held_out is None or baselines is None:
        return table
    table.add_row("blend, held out", f"{held_out.score:.4f}", _interval(held_out.interval), "", "")
    for name, score in sorted(baselines.model_dump().items(), key=lambda item: -item[1]):
        lead = held_out.versus[name]
        table.add_row(
            f"  {_PLAIN[name]}",
            f"{score:.4f}",
            "",
            f"{lead.difference:+.4f}",
            _interval(lead.interval, "+.4f"),
        )
    return table


def _interval(interval: tuple[float, float], style: str = ".4f") -> str:
    low, high = interval
    return f"{low:{style}} … {high:{style}}"


def _notes(spec: EnsembleSpec) -> Iterator[str]:
    scores = spec.scores
    centring = "centred (less its mean)" if spec.blend.centred else "as it is"
    yield f"{scores.rows} rows in {scores.groups} groups; each member {centring};"
    yield f"{spec.provenance.trials} trials of study {spec.provenance.study['name']!r}."
    yield "alone: over the rows a member covers."
    if scores.held_out is None:
        yield "No held-out score: the study's validation is none."
        return
    yield "loss without: held-out score lost when it is left out and the rest solved again."
    yield f"held out: the whole search repeated without each of {scores.folds} folds of whole"
    yield "groups, priors included; no row is scored by anything that saw its group."
    yield "lead: of the blend, held out, over each baseline on the same rows."
    yield from _unproven(scores.held_out)


def _unproven(held_out: HeldOut) -> list[str]:
    return [
        f"The lead over {_PLAIN[name]} is unproven: its interval includes 0."
        for name, lead in held_out.versus.items()
        if lead.interval[0] <= 0.0
    ]
