"""Plain data written as TOML is read back by the standard library as it was."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembler.toml import toml_key, toml_value

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))  # TOML is UTF-8: no lone surrogates
PLAIN = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(TEXTS, PLAIN)
def test_what_is_written_is_read_back(key: str, value: object) -> None:
    assert tomllib.loads(f"{toml_key(key)} = {toml_value(value)}") == {key: value}


@pytest.mark.parametrize(("name", "key"), [("beams", "beams"), ("a b", '"a b"'), ("", '""')])
def test_a_key_is_quoted_only_where_it_must_be(name: str, key: str) -> None:
    assert toml_key(name) == key


def test_the_character_del_is_escaped_and_others_are_not() -> None:
    assert toml_value("ü\x7f") == '"ü\\u007f"'


def test_what_is_none_in_a_table_is_left_out() -> None:
    assert toml_value({"a": None, "b": {"c": None, "d": 1}}) == "{b = {d = 1}}"
