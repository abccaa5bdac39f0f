"""Reading of vocabulary files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembler.errors import PredictorError
from predictors.interrogator.vocabulary import read_vocabulary


def test_a_file_alone_is_a_list_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "moods.txt").write_text("calm\nwild\n")
    (found,) = read_vocabulary(tmp_path / "moods.txt", {"moods": 2})
    assert (found.name, found.phrases, found.wanted) == ("moods", ("calm", "wild"), 2)


def test_space_empty_lines_and_repeats_do_not_count(tmp_path: Path) -> None:
    text = "\ufeffcalm \n\n  wild, and\ttall\r\ncalm\nLubna Azabal é\n"
    (tmp_path / "moods.txt").write_text(text, encoding="utf-8", newline="")
    (found,) = read_vocabulary(tmp_path, {"moods": 1})
    assert found.phrases == ("calm", "wild, and\ttall", "Lubna Azabal é")


def test_lists_that_are_not_named_are_left_alone(vocabulary: Path) -> None:
    found = read_vocabulary(vocabulary, {"mediums": 1, "artists": 2})
    assert [(one.name, one.wanted) for one in found] == [("artists", 2), ("mediums", 1)]


def test_a_list_that_is_not_there_is_refused_and_the_nearest_offered(vocabulary: Path) -> None:
    with pytest.raises(PredictorError, match="no vocabulary named 'artist'; did you mean 'artists"):
        read_vocabulary(vocabulary, {"artist": 1})


def test_more_phrases_than_there_are_are_refused(vocabulary: Path) -> None:
    with pytest.raises(PredictorError, match=r"mediums\.txt has 4 phrases, .* the best 5"):
        read_vocabulary(vocabulary, {"mediums": 5})


def test_a_vocabulary_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "moods.txt").write_bytes(b"calm\n\xff\xfe wild\n")
    with pytest.raises(PredictorError, match=r"moods\.txt cannot be read as a text file in UTF-8"):
        read_vocabulary(tmp_path, {"moods": 1})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"moods\.txt cannot be read"):
        read_vocabulary(tmp_path / "moods.txt", {"moods": 1})
