"""Study files with every kind of fault; each message names the fault and the way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ensembler.errors import StudyError
from ensembler.search.definition import load_study, parse_study, select_members

STORE = ("blip", "coca", "vit-a", "vit-b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 5", r"no key named 'trails'; did you mean 'trials'\?"),
        ('trials = "5"', "trials: Input should be a valid integer"),
        ("trials = 0", "trials: Input should be greater than or equal to 1"),
        ("trials = 1979-05-27", "trials: Input should be a valid integer"),
        ("prior = 1", "prior: Input should be a valid boolean"),
        ('centring = "of"', "centring: Input should be 'off', 'on' or 'both'"),
        ('norms = ["l1"]', "norms.0: Input should be 'none', 'l2' or 'power'"),
        ("norms = []", "norms: Tuple should have at least 1 item"),
        ('norms = ["l2", "l2"]', "a norm is named twice"),
        ("members = 3", 'members: give "all", a list of names or patterns, or a table'),
        ('weights = "fixed"', '`fixed` weights go with weights = "fixed", and only with it'),
        ("fixed = {blip = 1.0}", '`fixed` weights go with weights = "fixed", and only with it'),
        ('weights = "fixed"\nfixed = {blip = -1.0}', "negative `fixed` weights need bounds"),
        ('weights = "fixed"\nfixed = {blip = 0.0}', "`fixed` weights are all 0"),
        ('weights = "fixed"\nfixed = {blip = nan}', "fixed.blip: Input should be a finite number"),
        ("seed = -1", "seed: Input should be greater than or equal to 0"),
        ("trials = ", "mine.toml is not a study file"),
        ("trials = 1\ntrials = 2", "mine.toml is not a study file"),
    ],
)  # fmt: skip
def test_a_faulty_key_is_named_with_the_remedy(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(StudyError, match=message) as refused:
        load_study(tmp_path / "mine.toml")
    assert str(tmp_path / "mine.toml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_faults_of_a_file_come_in_one_message() -> None:
    document = {"trails": 5, "sampelr": "tpe", "prior": "yes", "members": 1, "batch": 0}
    with pytest.raises(StudyError) as refused:
        parse_study(document, "mine.toml")
    for word in ("'trials'", "'sampler'", "prior:", "members:", "batch:"):
        assert str(refused.value).count(word) == 1


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"PK\x03\x04", b"[" * 1000])
def test_bytes_that_are_no_toml_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(StudyError, match="is not a study file"):
        load_study(tmp_path / "mine.toml")


def test_a_folder_and_a_missing_file_are_no_study(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(StudyError, match="is not a study file"):
        load_study(tmp_path / "folder.toml")
    with pytest.raises(StudyError, match="there is no study file"):
        load_study(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("name", "meant"), [("defalt", "default"), ("minaR0404", "minaR0404_43rd")]
)
def test_an_unknown_study_offers_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(StudyError, match=f"did you mean '{meant}'.*a study's file ends in .toml"):
        load_study(name)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"members": ["vit-c"]}, "no member named 'vit-c'; did you mean 'vit-b'?"),
        ({"members": ["vti*"]}, "no member named 'vti*'"),
        ({"members": []}, "members: none is named"),
        ({"members": {}}, "members: none is named"),
        ({"members": {"a": []}}, "members: a group is empty"),
        ({"members": {"a": ["vit*"], "b": ["*-a"]}}, "in two groups: vit-a; give each member one"),
        (
            {"members": {"vit": ["vit*"]}, "weights": "fixed", "fixed": {"vti": 1.0}},
            "fixed: no group or member named 'vti'; did you mean 'vit'?",
        ),
        (
            {"weights": "fixed", "fixed": {"prior": 0.5}},
            "fixed: no group or member named 'prior'",
        ),
    ],
)
def test_members_that_a_store_cannot_give_are_named(document: dict[str, Any], message: str) -> None:
    study = parse_study(document, "mine.toml")
    with pytest.raises(StudyError, match=re.escape(message)):
        select_members(study, STORE)
