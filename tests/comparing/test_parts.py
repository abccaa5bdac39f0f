"""What blenders are made of, and whether a corpus tells them anything."""

from __future__ import annotations

import pytest

from ensembler.blenders.nested import Nested
from ensembler.blenders.registry import parse_blender
from ensembler.comparing.parts import parts_of, reads_corpus, without_corpus


def test_parts_are_the_whole_chain_and_what_stands_in_brackets() -> None:
    chain = parse_blender("gated+ridge+gains")
    assert [part.name for part in parts_of(chain)] == [
        "weighted+gated+ridge+gains", "weighted+gated+ridge", "weighted+gated", "weighted",
    ]  # fmt: skip
    nested = Nested(children=(parse_blender("greedy"), chain))
    assert [part.name for part in parts_of(nested)][1:3] == ["greedy", chain.name]


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("weighted", False),
        ("gains", True),
        ("gains+ridge", True),
        ("gains:basis=corpus", True),
        ("gains:basis=targets", False),
        ("nested", False),
        ("nested+gains", True),
    ],
)
def test_only_gains_in_the_basis_of_a_corpus_read_one(name: str, reads: bool) -> None:
    assert reads_corpus(parse_blender(name)) == reads


def test_without_a_corpus_only_open_bases_are_settled() -> None:
    assert without_corpus(parse_blender("gains+ridge")) == parse_blender(
        "gains:basis=targets+ridge"
    )
    for name in ("weighted:shrinkage=auto", "gains:basis=coordinates", "nested"):
        assert without_corpus(parse_blender(name)) == parse_blender(name)
