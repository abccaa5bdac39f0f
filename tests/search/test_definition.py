"""Study files: what they may say, and what is said of those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembler.errors import StudyError
from ensembler.search.definition import (
    StudyDefinition,
    load_study,
    parse_study,
    select_members,
    study_paths,
)

STORE = ("blip", "coca", "vit-a", "vit-b")


def test_an_empty_file_is_the_default_study(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    assert load_study(tmp_path / "mine.toml") == StudyDefinition()
    packaged = load_study("default").model_copy(update={"description": ""})
    assert packaged == StudyDefinition()


def test_every_study_that_comes_along_loads_and_is_described() -> None:
    assert {"default", "plain", "minaR0404_43rd"} <= set(study_paths())
    for name in study_paths():
        assert load_study(name).description


def test_the_plain_study_is_what_people_do_by_hand() -> None:
    plain = load_study("plain")
    assert (plain.weights, plain.norms) == ("sampled", ("l2",))
    assert (plain.centring, plain.prior) == ("off", False)


def test_members_are_taken_by_name_and_pattern_in_the_stores_order() -> None:
    chosen = select_members(StudyDefinition(members=("vit*", "blip")), STORE)
    assert chosen == {"blip": ("blip",), "vit-a": ("vit-a",), "vit-b": ("vit-b",)}


def test_members_match_by_case() -> None:
    with pytest.raises(StudyError, match=r"no member named 'BLIP'"):
        select_members(StudyDefinition(members=("BLIP",)), STORE)


def test_groups_gather_members() -> None:
    groups = {"captioners": ("coca", "blip"), "towers": ("vit*",)}
    chosen = select_members(StudyDefinition(members=groups), STORE)
    assert chosen == {"captioners": ("blip", "coca"), "towers": ("vit-a", "vit-b")}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_definition_survives_its_own_json(sampler: str) -> None:
    study = parse_study({"sampler": sampler, "members": {"all": ["*"]}}, "here")
    assert parse_study(study.model_dump(mode="json"), "there") == study
