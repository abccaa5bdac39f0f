"""Corpus files: what is written is read, and nothing else; lists of prompts become one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from ensembler.errors import EnsemblerError, InputError
from ensembler.store import prompts as module
from ensembler.store.corpus import KEY, Corpus, load_corpus, save_corpus
from ensembler.store.encoder import TextEncoder
from ensembler.store.model import EncoderRecord
from ensembler.store.prompts import make_corpus, read_prompts
from ensembler.store.reader import Store

ROOT = Path(__file__).parents[2]
ENCODER = EncoderRecord(name="drawn", sha256="0" * 64)
DIM = 6


class Drawn:
    """An encoder that draws each text's vector by its own seed."""

    def encode(self, texts: Sequence[str], **_: object) -> NDArray[np.float64]:
        drawn = [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
        return np.array([vector / np.linalg.norm(vector) for vector in drawn])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> TextEncoder:
    """Texts are encoded without a model."""
    encoder = TextEncoder(ENCODER, Drawn())
    monkeypatch.setattr(module, "load_encoder", lambda _: encoder)
    return encoder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, DIM))
    path = tmp_path / "corpus.safetensors"
    covariance = np.cov(vectors.T)
    save_corpus(path, mean=vectors.mean(axis=0), covariance=covariance, prompts=50, encoder=ENCODER)
    return path


def rewrite(file: Path, metadata: dict[str, Any] | None = None, **arrays: NDArray[Any]) -> None:
    """The same file with some of its arrays, or of its metadata, replaced."""
    before = json.loads(read_metadata(file)[KEY])
    line = json.dumps(before | (metadata or {}))
    save_file({**load_file(file), **arrays}, file, metadata={KEY: line})


def read_metadata(file: Path) -> dict[str, str]:
    raw = file.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    found: dict[str, str] = json.loads(raw[8 : 8 + size])["__metadata__"]
    return found


def test_a_corpus_survives_its_file(file: Path) -> None:
    corpus, arrays = load_corpus(file), load_file(file)
    assert corpus.mean.tolist() == arrays["mean"].astype(np.float64).tolist()
    assert corpus.covariance.tolist() == arrays["covariance"].astype(np.float64).tolist()
    assert corpus.covariance.dtype == corpus.mean.dtype == np.float64
    assert (corpus.prompts, corpus.encoder, corpus.encoder_sha256) == (50, "drawn", "0" * 64)


def test_equal_corpora_are_equal_bytes(file: Path, tmp_path: Path) -> None:
    corpus, again = load_corpus(file), tmp_path / "again"
    save_corpus(again, mean=corpus.mean, covariance=corpus.covariance, prompts=50, encoder=ENCODER)
    assert again.read_bytes() == file.read_bytes()


def test_a_file_cut_short_anywhere_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for size in (0, 7, 60, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"not a whole safetensors file.*make it again"):
            load_corpus(file)


def test_a_number_changed_in_place_is_noticed(file: Path) -> None:
    mean = load_file(file)["mean"]
    mean[2] += 1e-3
    rewrite(file, mean=mean)
    with pytest.raises(InputError, match="not those that were written"):
        load_corpus(file)


def symmetric(value: float) -> NDArray[np.float32]:
    return np.full((DIM, DIM), value, dtype=np.float32)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"covariance": symmetric(np.nan)}, "holds NaN or infinity"),
        ({"covariance": np.triu(symmetric(1.0))}, "is not symmetric"),
        ({"covariance": symmetric(1.0)[:, :4]}, r"mean of shape \(6,\).*covariance of \(6, 4\)"),
        ({"mean": np.zeros(DIM)}, "float64 and float32, not float32"),
        ({"more": np.zeros(1)}, "is a safetensors file, but not a corpus"),
        ({"metadata": {"version": 2}}, r"metadata cannot be read \(version: Input should be 1"),
        ({"metadata": {"prompts": 0}}, r"metadata cannot be read \(prompts"),
    ],
)
def test_what_is_no_corpus_is_refused_with_its_fault(
    file: Path, changed: dict[str, Any], sentence: str
) -> None:
    rewrite(file, **changed)
    with pytest.raises(InputError, match=sentence) as refused:
        load_corpus(file)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no corpus .*none\.safetensors; make it"):
        load_corpus(tmp_path / "none.safetensors")


def test_a_safetensors_file_of_something_else_is_no_corpus(tmp_path: Path) -> None:
    save_file({"mean": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="but not a corpus"):
        load_corpus(tmp_path / "weights.safetensors")


def test_the_committed_corpus_fits_the_committed_store(oof: Path) -> None:
    file = ROOT / "corpus" / "partiprompts.safetensors"
    corpus = load_corpus(file)
    corpus.check_fits(Store.open(oof))
    assert corpus.prompts == 1630
    assert np.linalg.eigvalsh(corpus.covariance).min() > -1e-8
    assert file.stat().st_size <= 700_000


def test_a_corpus_of_another_encoder_is_refused(oof: Path) -> None:
    other = Corpus(
        mean=np.zeros(384),
        covariance=np.eye(384),
        prompts=9,
        encoder="mine",
        encoder_sha256="1" * 64,
    )
    with pytest.raises(InputError, match=r"another encoder \(mine\).*all-MiniLM-L6-v2"):
        other.check_fits(Store.open(oof))


LISTS = {
    "list.csv": 'Prompt,x\n"a, quoted",1\n b ,2\n,3\nb,4\n',
    "list.tsv": 'id\tprompt\n1\ta, quoted\n2\t"b\n',
    "list.txt": "a, quoted\n\n  b\nb\n",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("list.csv", ["a, quoted", "b"]),
        ("list.tsv", ["a, quoted", '"b']),
        ("list.txt", ["a, quoted", "b"]),
    ],
)
def test_lists_are_read_without_blanks_and_repetitions(
    tmp_path: Path, name: str, expected: list[str]
) -> None:
    (tmp_path / name).write_text(LISTS[name])
    assert read_prompts(tmp_path / name) == expected


def test_a_parquet_list_is_read_by_the_column_named(tmp_path: Path) -> None:
    table = pa.table({"caption": ["a", None, "b"], "prompt": [1.5, 2.5, 3.5]})
    pq.write_table(table, tmp_path / "list.parquet")
    assert read_prompts(tmp_path / "list.parquet", "caption") == ["a", "b"]
    with pytest.raises(InputError, match="floating-point numbers; write it as text"):
        read_prompts(tmp_path / "list.parquet")


@pytest.mark.parametrize(
    ("name", "text", "column", "sentence"),
    [
        ("l.csv", "promt,x\na,b\n", None, r"no column 'prompt' .*did you mean 'promt'.*--column"),
        ("l.csv", "prompt,x\na,b\n", "promt", "no column named 'promt'; did you mean 'prompt'"),
        ("l.csv", "prompt,Prompt\na,b\n", None, "the columns prompt, Prompt"),
        ("l.csv", "prompt\n\n \n", None, "has no prompt"),
        ("l.csv", "", None, "cannot be read as a table"),
        ("l.txt", " \n", None, "has no prompt"),
        ("l.txt", "a\n", "prompt", "leave --column out"),
        (
            "l.json",
            "[]",
            None,
            r"not a list of prompts; give one of \.csv, \.tsv, \.parquet",
        ),
    ],
)
def test_a_list_that_cannot_serve_is_refused_with_the_remedy(
    tmp_path: Path, name: str, text: str, column: str | None, sentence: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_prompts(tmp_path / name, column)


@pytest.mark.parametrize("name", ["none.csv", "none.txt"])
def test_a_list_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"there is no file .*{name}"):
        read_prompts(tmp_path / name)


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="cannot be read as UTF-8"):
        read_prompts(tmp_path / "l.txt")


def test_mean_and_covariance_are_those_of_the_embeddings(
    tmp_path: Path, drawn: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    texts = [f"prompt {number}" for number in range(40)]
    told: list[tuple[int, int]] = []
    made = make_corpus(
        texts, tmp_path / "c", progress=lambda done, total: told.append((done, total))
    )
    vectors, corpus = drawn.model.encode(texts), load_corpus(tmp_path / "c")
    assert corpus.mean == pytest.approx(vectors.mean(axis=0), abs=1e-7)
    assert corpus.covariance == pytest.approx(np.cov(vectors.T), abs=1e-7)
    assert (made.listed, made.near, made.kept, made.dim) == (40, 0, 40, DIM)
    assert told[-1] == (40, 40)


def test_the_order_of_a_list_does_not_matter(tmp_path: Path, drawn: TextEncoder) -> None:
    texts = [f"prompt {number}" for number in range(30)]
    make_corpus(texts, tmp_path / "a")
    make_corpus(texts[::-1], tmp_path / "b")
    assert drawn.record == ENCODER
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_prompts_near_a_target_are_left_out(
    tmp_path: Path, drawn: TextEncoder, write_store: Callable[..., Store]
) -> None:
    texts = [f"prompt {number}" for number in range(30)]
    vectors = drawn.model.encode(texts)
    near = vectors @ vectors[:3].T > 0.9
    store = write_store(vectors[:3].astype(np.float32), {}, groups=["a", "b", "c"])
    made = make_corpus(texts, tmp_path / "c", exclude=store.path)
    left = vectors[~near.any(axis=1)]
    assert (made.near, made.kept) == (int(near.any(axis=1).sum()), len(left))
    assert load_corpus(tmp_path / "c").covariance == pytest.approx(np.cov(left.T), abs=1e-7)


def test_a_list_of_nothing_but_answers_makes_no_corpus(
    tmp_path: Path, drawn: TextEncoder, write_store: Callable[..., Store]
) -> None:
    texts = ["a", "b", "c"]
    store = write_store(drawn.model.encode(texts).astype(np.float32), {}, groups=texts)
    with pytest.raises(InputError, match=r"0 of 3 prompts are left \(3 are near targets of"):
        make_corpus(texts, tmp_path / "c", exclude=store.path)
    assert not (tmp_path / "c").exists()


@pytest.mark.usefixtures("drawn")
def test_targets_of_another_dimension_cannot_be_kept_away_from(tmp_path: Path, oof: Path) -> None:
    with pytest.raises(InputError, match=r"become 6 numbers.*have 384; name.*--encoder"):
        make_corpus(["a", "b"], tmp_path / "c", exclude=oof)


@pytest.mark.usefixtures("drawn")
def test_one_prompt_has_no_covariance(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 of 1 prompts are left, and a covariance needs 2"):
        make_corpus(["a"], tmp_path / "c")


def test_where_nothing_can_be_written_no_prompt_is_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: object) -> TextEncoder:
        raise AssertionError

    monkeypatch.setattr(module, "load_encoder", never)
    with pytest.raises(EnsemblerError, match="there is no folder"):
        make_corpus(["a", "b"], tmp_path / "none" / "c")
