"""Prompts as tokens: framed, cut where a model has no more places, padded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictors.shared.training import texts
from predictors.shared.training.losses import PADDING
from predictors.shared.training.texts import Frame, tokenise_prompts

WORDS = st.text("abc", max_size=9)


def letters(prompts: Sequence[str]) -> list[list[int]]:
    return [[ord(letter) for letter in prompt] for prompt in prompts]


@settings(max_examples=40)
@given(
    prompts=st.lists(WORDS, min_size=1, max_size=7),
    start=st.lists(st.integers(1, 9), max_size=2),
    chunk=st.integers(1, 4),
)
def test_every_row_is_its_prompt_in_a_frame(
    prompts: list[str], start: list[int], chunk: int
) -> None:
    frame = Frame(tuple(start), end=7, places=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "CHUNK", chunk)
        found = tokenise_prompts(pa.array(prompts, pa.string()), letters, frame, lambda *_: None)
    rows = np.arange(len(prompts))[::-1]
    padded = found.padded(rows)
    assert padded.shape[1] == max((padded != PADDING).sum(axis=1))
    room = 8 - 1 - len(start)
    for line, row in zip(padded, rows, strict=True):
        own = [ord(letter) for letter in prompts[row]]
        assert [token for token in line if token != PADDING] == [*start, *own[:room], 7]
        assert found.cut[row] == (len(own) > room)
    asked = sum(min(len(prompt), room) + 1 for prompt in prompts)
    assert found.predicted(rows) == asked


def test_progress_is_told_of_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "CHUNK", 2)
    told: list[tuple[int, int]] = []
    prompts = pa.array(["a", "b", "c"], pa.string())
    tokenise_prompts(prompts, letters, Frame((), 0, 5), lambda *one: told.append(one))
    assert told == [(2, 3), (3, 3)]
