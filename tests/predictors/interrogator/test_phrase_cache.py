"""Phrases' vectors on disk: made once, found by content, never wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.caching import lock_entry
from ensembler.images.preprocess import Preprocess
from predictors.interrogator.phrase_cache import phrase_vectors


class Counting:
    """Stands for a CLIP; counts the phrases it embeds."""

    dim = 3
    preprocess = Preprocess(height=1, width=1)

    def __init__(self, digest: str = "a", device: str = "cpu") -> None:
        self.digest, self.device = digest, device
        self.embedded: list[str] = []

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        return np.array([[len(text), ord(text[0]), 1] for text in texts], np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path))
    return tmp_path


def vectors(phrases: Sequence[str], **clip: str) -> tuple[NDArray[np.float32], list[str]]:
    """The returned vectors, and the phrases that were embedded for them."""
    counting: Any = Counting(**clip)
    found = phrase_vectors(counting, phrases)
    np.testing.assert_array_equal(found, Counting().texts(phrases))
    return found, counting.embedded


def entries(cache: Path) -> list[Path]:
    """The entries of a cache folder, without locks."""
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


def test_phrases_are_embedded_once() -> None:
    assert vectors(["calm", "wild"])[1] == ["calm", "wild"]
    assert vectors(["calm", "wild"])[1] == []


@pytest.mark.parametrize("phrases", [["wild", "calm"], ["calm"], ["calm", "wild", "tall"]])
def test_another_vocabulary_has_vectors_of_its_own(phrases: list[str]) -> None:
    vectors(["calm", "wild"])
    assert vectors(phrases)[1] == phrases


@pytest.mark.parametrize("clip", [{"digest": "b"}, {"device": "cuda:1"}])
def test_another_model_or_kind_of_device_has_vectors_of_its_own(clip: dict[str, str]) -> None:
    vectors(["calm"])
    assert vectors(["calm"], **clip)[1] == ["calm"]


def test_devices_of_one_kind_share_vectors() -> None:
    vectors(["calm"], device="cuda:0")
    assert vectors(["calm"], device="cuda:1")[1] == []


@pytest.mark.parametrize("left", [0, 100, -4])
def test_a_damaged_file_is_made_anew(cache: Path, left: int) -> None:
    vectors(["calm", "wild"])
    (entry,) = entries(cache)
    entry.write_bytes(entry.read_bytes()[:left])
    assert vectors(["calm", "wild"])[1] == ["calm", "wild"]
    assert vectors(["calm", "wild"])[1] == []


def test_an_array_of_another_shape_or_type_is_not_taken(cache: Path) -> None:
    vectors(["calm"])
    (entry,) = entries(cache)
    for other in (np.zeros((2, 3), np.float32), np.zeros((1, 3)), np.array([[{}]], object)):
        np.save(entry, other)
        assert vectors(["calm"])[1] == ["calm"]


@pytest.mark.parametrize("used", [True, False])
def test_vectors_in_use_outlast_what_others_add_to_the_cache(cache: Path, used: bool) -> None:
    vectors(["calm"])
    (entry,) = entries(cache)
    os.utime(entry, (1.0, 1.0))
    if used:
        vectors(["calm"])
    with lock_entry(cache / "statistics"):
        pass
    assert entry.exists() == used


def test_an_interrupted_embedding_leaves_nothing(cache: Path) -> None:
    class Interrupted(Counting):
        def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            super().texts(texts[:1])
            raise KeyboardInterrupt

    stopped: Any = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        phrase_vectors(stopped, ["calm"])
    assert not entries(cache)
    assert vectors(["calm"])[1] == ["calm"]


def test_a_full_disk_costs_only_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        assert vectors(["calm"])[1] == ["calm"]
    assert not entries(cache)
