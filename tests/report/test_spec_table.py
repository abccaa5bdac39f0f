"""The table of a spec: what it says, and how wide it gets."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ensembler.api import FitResult
from ensembler.report.spec_table import spec_table
from ensembler.report.tables import WIDTH, as_html, as_text
from ensembler.spec.model import EnsembleSpec


class Fitted(NamedTuple):
    """What tests/conftest.py gives as `fitted_oof`."""

    spec: str
    result: FitResult


def renamed(spec: EnsembleSpec, old: str, new: str) -> EnsembleSpec:
    """The spec with one member under another name, unsealed."""
    members = tuple(
        member.model_copy(update={"name": new}) if member.name == old else member
        for member in spec.blend.members
    )
    scored = {new if name == old else name: score for name, score in spec.scores.members.items()}
    return spec.model_copy(
        update={
            "blend": spec.blend.model_copy(update={"members": members}),
            "scores": spec.scores.model_copy(update={"members": scored}),
        }
    )


def test_the_table_has_every_member_and_score(fitted_oof: Fitted) -> None:
    spec = fitted_oof.result.spec
    text = as_text(spec_table(spec))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for member in spec.blend.members:
        score = spec.scores.members[member.name]
        line = lines[member.name]
        for number in (f"{member.weight:.4f}", member.norm, str(score.rows), f"{score.alone:.4f}"):
            assert number in line.split()
    assert spec.scores.held_out is not None
    low, high = spec.scores.held_out.interval
    assert f"{spec.scores.held_out.score:.4f}   {low:.4f} … {high:.4f}" in text
    assert "985 rows in 197 groups; each member centred" in text
    assert "unproven" not in text


def test_the_table_is_at_most_80_columns_wide(fitted_oof: Fitted) -> None:
    assert max(map(len, str(fitted_oof.result).splitlines())) <= WIDTH == 80


def test_a_name_of_100_characters_costs_no_number(fitted_oof: Fitted) -> None:
    spec = renamed(fitted_oof.result.spec, "instructblip", "a" * 100)
    lines = as_text(spec_table(spec)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    line = next(line for line in lines if line.startswith("aaa"))
    member = next(member for member in spec.blend.members if member.name == "a" * 100)
    score = spec.scores.members[member.name]
    assert line.split()[1:5] == [
        f"{member.weight:.4f}",
        member.norm,
        str(score.rows),
        f"{score.alone:.4f}",
    ]


def test_text_is_plain_where_colours_are_forced(
    fitted_oof: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = str(fitted_oof.result)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert str(fitted_oof.result) == expected
    assert "\x1b" not in expected


def test_a_studys_name_is_no_markup(fitted_oof: Fitted) -> None:
    spec = fitted_oof.result.spec
    study = {**spec.provenance.study, "name": "[bold]:smile:[/bold]"}
    provenance = spec.provenance.model_copy(update={"study": study})
    text = as_text(spec_table(spec.model_copy(update={"provenance": provenance})))
    assert "'[bold]:smile:[/bold]'" in text


def test_a_lead_that_includes_0_is_called_unproven(fitted_oof: Fitted) -> None:
    spec = fitted_oof.result.spec
    held_out = spec.scores.held_out
    assert held_out is not None
    lead = held_out.versus["single_best"].model_copy(update={"interval": (-0.001, 0.2)})
    versus = {**held_out.versus, "single_best": lead}
    scores = spec.scores.model_copy(
        update={"held_out": held_out.model_copy(update={"versus": versus})}
    )
    text = as_text(spec_table(spec.model_copy(update={"scores": scores})))
    assert "The lead over the single best is unproven: its interval includes 0." in text


def test_a_spec_without_held_out_scores_says_so(fitted_oof: Fitted) -> None:
    spec = fitted_oof.result.spec
    scores = spec.scores.model_copy(update={"held_out": None, "baselines": None})
    text = as_text(spec_table(spec.model_copy(update={"scores": scores})))
    assert "No held-out score: the study's validation is none." in text
    assert "blend, held out" not in text


def test_html_is_escaped_and_the_same_table(fitted_oof: Fitted) -> None:
    html = as_html("<b> & done")
    assert html == "<pre>&lt;b&gt; &amp; done</pre>"
    assert fitted_oof.result._repr_html_().startswith("<pre>member")
