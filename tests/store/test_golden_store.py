"""tests/golden/store-v1 is a store as format 1 was released: never rewrite it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ensembler.store.create import create_store
from ensembler.store.encoder import TextEncoder
from ensembler.store.importing import captions
from ensembler.store.model import EncoderRecord, Origin
from ensembler.store.reader import Store
from ensembler.store.samples import samples_digest
from ensembler.store.writer import add_member

GOLDEN = Path(__file__).parents[1] / "golden" / "store-v1"
DIGEST = "fdb90541bc2046c4d76fbd8a44877893087af1deb21b68f1156205397cc2fbd4"

SAMPLES = (
    "imgId,prompt,group,source,fold,weight\n"
    "007,a cat,g1,sd,0,1\n1e5,ein Hünd,g2,,1,0.5\nx_y,a cat,g1,sd,0,2\n"
)
TARGETS = "id,0,1,2,3\nx_y,0,0,0,5\n007,3,4,0,0\n1e5,1,1,1,1\n"
LONG = (
    "imgId_eId,val\nx_y_0,0.5\nx_y_1,0.25\nx_y_2,0\nx_y_3,-1\n007_3,0\n007_2,0\n007_1,0\n007_0,0\n"
)
CAPTIONS = "id\tcaption\n1e5\ta dog\n007\tone cat\n"


class LengthModel:
    """Stands in for a sentence encoder: exact in float16, the same on every machine."""

    def encode(self, texts: Sequence[str], **_: object) -> NDArray[np.float32]:
        return np.asarray([[len(text), text.count("a"), 1, -0.5] for text in texts], np.float32)


def build(folder: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    encoder = TextEncoder(EncoderRecord(name="lengths", sha256="0" * 64), LengthModel())
    monkeypatch.setattr(captions, "load_encoder", lambda _: encoder)
    files = {"s.csv": SAMPLES, "t.csv": TARGETS, "long.csv": LONG, "captions.tsv": CAPTIONS}
    for name, text in files.items():
        (inputs / name).write_text(text, encoding="utf-8", newline="")
    create_store(folder, inputs / "s.csv", targets=inputs / "t.csv")
    origin = Origin(predictor="tower", config={"size": 336}, device="cpu")
    add_member(folder, "old-submission", [inputs / "long.csv"], origin=origin)
    add_member(folder, "captioner", [inputs / "captions.tsv"], dtype="float16")
    return Store.open(folder)


def test_todays_writer_makes_the_released_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = build(tmp_path / "store", tmp_path, monkeypatch)
    released = [file.relative_to(GOLDEN) for file in sorted(GOLDEN.rglob("*")) if file.is_file()]
    made = [
        file.relative_to(store.path) for file in sorted(store.path.rglob("*")) if file.is_file()
    ]
    assert made == released
    assert len(made) == 10
    for file in made:
        now, then = store.path / file, GOLDEN / file
        if file.suffix == ".npy":
            np.testing.assert_array_equal(np.load(now), np.load(then), strict=True)
        elif file.suffix == ".parquet":  # its framing is pyarrow's, and may change
            assert pq.read_table(now).equals(pq.read_table(then))
        else:
            assert now.read_bytes() == then.read_bytes()


def test_the_released_store_is_read_as_it_was_written() -> None:
    store = Store.open(GOLDEN)
    samples = store.samples
    assert samples.id.tolist() == ["007", "1e5", "x_y"]
    assert samples.fold.tolist() == [0, 1, 0]
    assert samples.group.tolist() == ["g1", "g2", "g1"]
    assert samples.source.tolist() == ["sd", "", "sd"]
    assert samples.weight.tolist() == [1.0, 0.5, 2.0]
    assert samples.prompt is not None
    assert samples.prompt.tolist() == ["a cat", "ein Hünd", "a cat"]
    assert (
        samples_digest(pq.read_table(GOLDEN / "samples.parquet")) == store.manifest.samples.sha256
    )
    half = np.float32(0.5)
    assert store.targets().tolist() == [
        [np.float32(0.6), np.float32(0.8), 0, 0],
        [half, half, half, half],
        [0, 0, 0, 1],
    ]
    old, captioner = store.members()
    assert (old.name, old.rows.tolist(), old.record.zero_rows) == ("old-submission", [0, 2], 1)
    assert old.embeddings.tolist() == [[0, 0, 0, 0], [0.5, 0.25, 0, -1]]
    assert old.record.origin.config == {"size": 336}
    assert (captioner.name, captioner.rows.tolist()) == ("captioner", [0, 1])
    assert captioner.embeddings.dtype == np.float16
    assert captioner.embeddings.tolist() == [[7, 1, 1, -0.5], [5, 1, 1, -0.5]]
    texts = captioner.captions()
    assert texts is not None
    assert texts.to_pydict() == {"id": ["007", "1e5"], "caption": ["one cat", "a dog"]}


def test_the_released_digest_is_what_contents_have_today() -> None:
    assert Store.open(GOLDEN).digest == DIGEST
