"""`ensembler data corpus`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.store import prompts
from ensembler.store.corpus import load_corpus
from ensembler.store.encoder import TextEncoder
from ensembler.store.model import EncoderRecord
from ensembler.store.reader import Store

Run = Callable[..., tuple[int, str, str]]


class Drawn:
    """An encoder that draws each text's vector by its own seed."""

    def encode(self, texts: Sequence[str], **_: object) -> NDArray[np.float64]:
        drawn = [np.random.default_rng(list(text.encode())).normal(size=4) for text in texts]
        return np.array([vector / np.linalg.norm(vector) for vector in drawn])


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder(EncoderRecord(name="drawn", sha256="0" * 64), Drawn())
    monkeypatch.setattr(prompts, "load_encoder", lambda _: encoder)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.tsv"
    file.write_text("Prompt\tNote\n" + "".join(f'"prompt {n}\tx\n' for n in range(20)))
    return file


def test_a_list_becomes_a_corpus_beside_one_line_of_what_it_holds(
    ensembler: Run, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = ensembler("data", "corpus", listed)
    assert ran == (0, "corpus.safetensors: 20 prompts, 4 dimensions, drawn\n", "")
    assert load_corpus(tmp_path / "corpus.safetensors").prompts == 20


def test_answers_are_counted_and_json_is_one_object(
    ensembler: Run, listed: Path, tmp_path: Path, write_store: Callable[..., Store]
) -> None:
    answers = Drawn().encode(['"prompt 3', '"prompt 5', "another"]).astype(np.float32)
    store = write_store(answers, {}, groups=["a", "b", "c"])
    code, out, err = ensembler(
        "data", "corpus", listed, "--exclude", store.path, "--out", tmp_path / "c", "--json"
    )
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert set(document) == {"corpus", "listed", "near", "kept", "dim", "encoder"}
    assert document["listed"] == document["near"] + document["kept"] == 20
    assert document["near"] >= 2


def test_a_misspelled_column_ends_with_2_and_the_nearest_one(ensembler: Run, listed: Path) -> None:
    code, out, err = ensembler("data", "corpus", listed, "--column", "Promt")
    assert (code, out) == (2, "")
    assert "no column named 'Promt'; did you mean 'Prompt'?" in err
