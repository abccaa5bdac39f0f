"""The table of a spec: its content and its width."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ensembler.api import FitResult
from ensembler.report.spec_table import spec_table
from ensembler.report.tables import WIDTH, as_html, as_text
from ensembler.spec.model import EnsembleSpec


class Fitted(NamedTuple):
    """The type of the fixture `fitted_oof` in tests/conftest.py."""

    spec: str
    result: FitResult


def renamed(spec: EnsembleSpec, old: str, new: str) -> EnsembleSpec:
    """The spec with one member under another name, unsealed."""
    members = tuple(
        member.model_copy(update={"name": new}) if member.name == old else member
        for member in spec.weighted.members
    )
    scored = {new if name == old else name: score for name, score in spec.scores.members.items()}
    return spec.model_copy(
        update={
            "blend": spec.blend.model_copy(update={"members": members}),
            "scores": spec.scores.model_copy(update={"members": scored}),
        }
    )


def with_scores(fitted: Fitted, **changed: object) -> str:
    """The table of a fit with some of its scores replaced, unsealed."""
    scores = fitted.result.spec.scores.model_copy(update=changed)
    return as_text(spec_table(fitted.result.spec.model_copy(update={"scores": scores})))


def test_the_table_has_every_member_and_score(fitted_oof: Fitted) -> None:
    spec = fitted_oof.result.spec
    text = as_text(spec_table(spec))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for member in spec.weighted.members:
        score = spec.scores.members[member.name]
        line = lines[member.name]
        for number in (f"{score.share:.4f}", member.norm, str(score.rows), f"{score.alone:.4f}"):
            assert number in line.split()
    assert spec.scores.held_out is not None
    low, high = spec.scores.held_out.interval
    assert f"{spec.scores.held_out.score:.4f}   {low:.4f} … {high:.4f}" in text
    assert "985 rows in 197 groups; each member centred" in text
    assert "prior (constant)" in text
    assert f"{spec.scores.prior_share:.4f}" in text
    assert "unproven" not in text
    assert "worse" not in text


def test_the_table_is_at_most_80_columns_wide(fitted_oof: Fitted) -> None:
    assert max(map(len, str(fitted_oof.result).splitlines())) <= WIDTH == 80


def test_a_name_of_100_characters_costs_no_number(fitted_oof: Fitted) -> None:
    spec = renamed(fitted_oof.result.spec, "instructblip", "a" * 100)
    lines = as_text(spec_table(spec)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    line = next(line for line in lines if line.startswith("aaa"))
    member = next(member for member in spec.weighted.members if member.name == "a" * 100)
    score = spec.scores.members[member.name]
    assert line.split()[1:5] == [
        f"{score.share:.4f}",
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


def test_a_studys_name_is_not_taken_for_markup(fitted_oof: Fitted) -> None:
    spec = fitted_oof.result.spec
    study = {**spec.provenance.study, "name": "[bold]:smile:[/bold]"}
    provenance = spec.provenance.model_copy(update={"study": study})
    text = as_text(spec_table(spec.model_copy(update={"provenance": provenance})))
    assert "'[bold]:smile:[/bold]'" in text


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [
        ((-0.2, -0.001), "The blend is worse than the single best: submit that instead."),
        ((-0.001, 0.2), "The lead over the single best is unproven: its interval includes 0."),
        ((0.0, 0.2), "The lead over the single best is unproven: its interval includes 0."),
        ((-0.2, 0.0), "The lead over the single best is unproven: its interval includes 0."),
        ((0.001, 0.2), None),
    ],
)
def test_a_lead_is_denied_or_called_unproven_by_its_interval(
    interval: tuple[float, float], sentence: str | None, fitted_oof: Fitted
) -> None:
    held_out = fitted_oof.result.spec.scores.held_out
    assert held_out is not None
    lead = held_out.versus["single_best"].model_copy(update={"interval": interval})
    versus = {**held_out.versus, "single_best": lead}
    text = with_scores(fitted_oof, held_out=held_out.model_copy(update={"versus": versus}))
    doubts = [line for line in text.splitlines() if "unproven" in line or "worse" in line]
    assert doubts == ([] if sentence is None else [sentence])


def test_members_stand_in_the_order_of_their_shares_with_signs_only_where_they_show(
    fitted_oof: Fitted,
) -> None:
    members = dict(fitted_oof.result.spec.scores.members)
    changed = {"llava": -0.9, "cogvlm": -0.00001}
    for name, share in changed.items():
        update = {"share": share, "loss_without": -0.00001}
        members[name] = members[name].model_copy(update=update)
    text = with_scores(fitted_oof, members=members)
    listed = [line.split() for line in text.splitlines()[2:12]]
    assert (listed[0][0], listed[0][1], listed[-1][0]) == ("llava", "-0.9000", "cogvlm")
    assert "-0.0000" not in text


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("exact", "the others are solved again."),
        ("sampled", "the others keep their weights."),
        ("fixed", "the others keep their weights."),
    ],
)
def test_loss_without_says_what_becomes_of_the_others(
    weights: str, words: str, fitted_oof: Fitted
) -> None:
    spec = fitted_oof.result.spec
    study = {**spec.provenance.study, "weights": weights}
    provenance = spec.provenance.model_copy(update={"study": study})
    text = as_text(spec_table(spec.model_copy(update={"provenance": provenance})))
    assert words in " ".join(text.split())


def test_the_table_says_whose_the_folds_are(fitted_oof: Fitted) -> None:
    assert "\nfolds: the store's.\n" in str(fitted_oof.result)
    text = with_scores(fitted_oof, dealt_anew="the store has 2 and 3 are needed")
    assert "\nfolds: dealt anew, because the store has 2 and 3 are needed.\n" in text


@pytest.mark.parametrize(("groups", "rough"), [(19, True), (20, False)])
def test_intervals_over_few_groups_are_called_rough(
    groups: int, rough: bool, fitted_oof: Fitted
) -> None:
    text = with_scores(fitted_oof, groups=groups)
    assert (f"The intervals are rough: they rest on only {groups} groups." in text) == rough


@pytest.mark.parametrize(("rows", "little"), [(99, True), (100, False)])
def test_a_blend_of_few_rows_has_a_warning(rows: int, little: bool, fitted_oof: Fitted) -> None:
    text = with_scores(fitted_oof, rows=rows)
    assert (f"{rows} rows are few: " in text) == little


def test_a_spec_without_held_out_scores_says_so(fitted_oof: Fitted) -> None:
    text = with_scores(fitted_oof, held_out=None, baselines=None)
    assert "No held-out score: the study's validation is none." in text
    assert "blend, held out" not in text


def test_html_is_escaped_and_the_same_table(fitted_oof: Fitted) -> None:
    html = as_html("<b> & done")
    assert html == "<pre>&lt;b&gt; &amp; done</pre>"
    assert fitted_oof.result._repr_html_().startswith("<pre>member")
