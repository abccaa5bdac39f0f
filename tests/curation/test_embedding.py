"""Prompts to vectors: whatever stops a run, the same bytes in the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ensembler.curation import embedding
from ensembler.curation.embedding import embed
from ensembler.curation.embedding_vectors import vectors_of
from ensembler.errors import InputError, StoreError
from ensembler.store.encoder import TextEncoder
from ensembler.store.model import EncoderRecord

if TYPE_CHECKING:
    from tests.curation.conftest import Drawn


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Ten pairs, every other prompt the same."""
    file = tmp_path / "prompts.csv"
    rows = [f"{row:03},prompt {row if row % 2 else 0}\n" for row in range(10)]
    file.write_text("id,prompt\n" + "".join(rows))
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_prompt_has_its_vector_in_the_tables_order(
    drawn: Drawn, prompts: Path, tmp_path: Path
) -> None:
    made = embed(prompts, tmp_path / "out", shard_rows=4)
    assert (made.rows, made.dim, made.shards, made.resumed) == (10, 6, 3, 0)
    for shard, start in enumerate((0, 4, 8)):
        vectors = np.load(tmp_path / "out" / f"embeddings-{shard:05}.npy")
        ids = pq.read_table(tmp_path / "out" / f"embeddings-{shard:05}.parquet")["id"].to_pylist()
        assert ids == [f"{row:03}" for row in range(10)][start : start + 4]
        for id_, vector in zip(ids, vectors, strict=True):
            prompt = f"prompt {int(id_) if int(id_) % 2 else 0}"
            expected = drawn.encode([prompt])[0].astype(np.float32)
            np.testing.assert_array_equal(vector, expected)


@pytest.mark.usefixtures("drawn")
def test_progress_is_told_by_rows_up_to_the_last(prompts: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    embed(prompts, tmp_path / "out", shard_rows=4, progress=lambda *done: told.append(done))
    assert told == [(4, 10), (8, 10), (10, 10), (10, 10)]


def test_a_run_that_was_stopped_goes_on_to_the_bytes_of_one_that_was_not(
    drawn: Drawn, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(prompts, tmp_path / "whole", shard_rows=4)
    encode, calls = drawn.encode, 0

    def stopping(texts: Sequence[str], **options: object) -> NDArray[np.float64]:
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            raise KeyboardInterrupt
        return encode(texts, **options)

    monkeypatch.setattr(drawn, "encode", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            embed(prompts, tmp_path / "out", shard_rows=4)
    (tmp_path / "out" / ".embeddings-00002.npy.partial").write_bytes(b"half")  # as a kill leaves it
    assert embed(prompts, tmp_path / "out", shard_rows=4).resumed == 8
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    drawn.encoded.clear()
    assert embed(prompts, tmp_path / "out", shard_rows=4).resumed == 10
    assert drawn.encoded == []


@pytest.mark.usefixtures("drawn")
def test_a_finished_folder_is_gone_through_without_an_encoder(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(prompts, tmp_path / "out", shard_rows=4)
    whole = contents(tmp_path / "out")

    def never(_: object) -> TextEncoder:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(embedding, "load_encoder", never)
    (tmp_path / "out" / "complete.json").unlink()
    assert embed(prompts, tmp_path / "out", shard_rows=4).resumed == 10
    assert contents(tmp_path / "out") == whole


@pytest.mark.usefixtures("drawn")
def test_an_encoder_that_cannot_be_loaded_leaves_no_folder(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> TextEncoder:
        raise StoreError("cannot be loaded")

    monkeypatch.setattr(embedding, "load_encoder", broken)
    with pytest.raises(StoreError):
        embed(prompts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_shard_that_is_gone_or_cut_short_is_made_again(
    drawn: Drawn, prompts: Path, tmp_path: Path
) -> None:
    embed(prompts, tmp_path / "out", shard_rows=4)
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / "embeddings-00000.npy").unlink()
    (tmp_path / "out" / "embeddings-00001.npy").write_bytes(whole["embeddings-00001.npy"][:-8])
    assert embed(prompts, tmp_path / "out", shard_rows=4).resumed == 2
    assert contents(tmp_path / "out") == whole
    assert len(drawn.encoded) > 0


@pytest.mark.usefixtures("drawn")
def test_a_folder_of_other_prompts_encoder_or_shards_is_refused_with_both(
    prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(prompts, tmp_path / "out", shard_rows=4)
    with pytest.raises(InputError, match="rows to a shard 4 there, 5 here"):
        embed(prompts, tmp_path / "out", shard_rows=5)
    other = EncoderRecord(name="other", sha256="1" * 64)
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "encoder_record", lambda _: other)
        with pytest.raises(InputError, match=f"encoder {'0' * 64} there, {'1' * 64} here"):
            embed(prompts, tmp_path / "out", shard_rows=4)
    prompts.write_text(prompts.read_text().replace("prompt 9", "prompt 8"))
    with pytest.raises(InputError, match=r"prompts [0-9a-f]{64} there, [0-9a-f]{64} here"):
        embed(prompts, tmp_path / "out", shard_rows=4)


@pytest.mark.usefixtures("drawn")
def test_a_folder_of_the_users_own_is_left_alone(prompts: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds other files; name an empty or a new folder"):
        embed(prompts, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.usefixtures("drawn")
def test_vectors_come_in_the_order_of_the_ids_from_a_folder_or_a_file(
    prompts: Path, tmp_path: Path
) -> None:
    embed(prompts, tmp_path / "out", shard_rows=4)
    everyone = np.concatenate(
        [np.load(tmp_path / "out" / f"embeddings-{shard:05}.npy") for shard in range(3)]
    )
    np.savez(tmp_path / "v.npz", ids=np.array([f"{row:03}" for row in range(10)]), v=everyone * 7)
    for source in (tmp_path / "out", tmp_path / "v.npz"):
        with vectors_of(source, np.array(["009", "002"]), tmp_path) as unit:
            np.testing.assert_allclose(unit, everyone[[9, 2]], atol=1e-7)
        with (
            pytest.raises(InputError, match=r"no vectors for 1 images: 010; embed them too"),
            vectors_of(source, np.array(["009", "010"]), tmp_path),
        ):
            pass


@pytest.mark.usefixtures("drawn")
def test_embeddings_that_are_not_finished_or_not_whole_are_refused(
    prompts: Path, tmp_path: Path
) -> None:
    ids = np.array(["000"])
    embed(prompts, tmp_path / "out", shard_rows=4)
    (tmp_path / "out" / "embeddings-00001.npy").write_bytes(b"\x93NUMPY")
    with (
        pytest.raises(InputError, match=r"shard 1 of .*out cannot be read"),
        vectors_of(tmp_path / "out", ids, tmp_path),
    ):
        pass
    (tmp_path / "out" / "complete.json").unlink()
    with (
        pytest.raises(
            InputError, match="is not a finished folder of embeddings; run `ensembler data embed`"
        ),
        vectors_of(tmp_path / "out", ids, tmp_path),
    ):
        pass
