"""Captioners whose texts contain the prompt: found by the texts, and by vectors without them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.store.audit import Finding, Kind, audit
from ensembler.store.create import create_store
from ensembler.store.encoder import load_encoder
from ensembler.store.model import Origin
from ensembler.store.reader import Store
from ensembler.store.writer import add_member, add_vectors, remove_member

OOF = Store.open(Path(__file__).parents[2] / "oof")
TEXTS = Path(__file__).parents[3] / "shared" / "data" / "vlm_texts"
needs_texts = pytest.mark.skipif(not TEXTS.exists(), reason="needs ../shared")

Paste = Callable[[str, str], str]


def before(caption: str, prompt: str) -> str:
    return f"{prompt} {caption}"


def after(caption: str, prompt: str) -> str:
    return f"{caption} ({prompt.upper()})"


def middle(caption: str, prompt: str) -> str:
    words = caption.split()
    half = len(words) // 2
    return " ".join([*words[:half], f'"{prompt}"', *words[half:]])


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples of `oof/` with their prompts, its targets, and its members without captions."""
    folder = tmp_path_factory.mktemp("honest")
    np.save(folder / "t.npy", OOF.targets())
    made = create_store(folder / "store", TEXTS / "samples.csv", targets=folder / "t.npy")
    for name in OOF.names:
        add(made, name, OOF.member(name).embeddings)
    return made.path


@pytest.fixture
def store(tmp_path: Path, honest: Path) -> Store:
    """A copy of `honest` to spoil."""
    return Store.open(shutil.copytree(honest, tmp_path / "store"))


def add(
    store: Store, name: str, vectors: NDArray[np.floating], captions: list[str] | None = None
) -> None:
    """Add or replace a member of `oof/`, for its own rows."""
    if name in Store.open(store.path).names:
        remove_member(store.path, name)
    rows = OOF.member(name).rows
    add_vectors(
        store.path,
        name,
        vectors.astype(np.float32),
        rows=rows,
        at=np.arange(len(rows)),
        dtype="float16",
        captions=captions,
        origin=Origin(),
    )


def captions_of(name: str) -> list[str]:
    """The captions of a member of `oof/`, in the order of its rows."""
    with (TEXTS / "captions" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        caption = {row["id"]: row["caption"] for row in csv.DictReader(file)}
    return [caption[id_] for id_ in OOF.samples.id[OOF.member(name).rows].tolist()]


def prompts_of(store: Store, name: str) -> list[str]:
    prompt = store.samples.prompt
    assert prompt is not None
    return [str(text) for text in prompt[OOF.member(name).rows]]


def the_leak(store: Store, name: str) -> Finding:
    (finding,) = audit(Store.open(store.path))
    assert (finding.kind, finding.member) == (Kind.LEAK, name)
    return finding


@needs_texts
def test_no_honest_captioner_is_accused_with_its_captions_or_without(store: Store) -> None:
    assert audit(Store.open(store.path)) == ()
    for name in OOF.names:
        add(store, name, OOF.member(name).embeddings, captions_of(name))
    assert audit(Store.open(store.path)) == ()


@needs_texts
@pytest.mark.parametrize(
    ("name", "paste"), [("llava", before), ("gpt4v_1shot", after), ("cogvlm", middle)]
)
def test_prompts_in_one_caption_of_a_hundred_are_found_in_the_texts(
    store: Store, name: str, paste: Paste
) -> None:
    captions, prompts = captions_of(name), prompts_of(store, name)
    told = [row for row in range(0, len(captions), 100) if len(prompts[row].split()) > 2]
    for row in told:
        captions[row] = paste(captions[row], prompts[row])
    add(store, name, OOF.member(name).embeddings, captions)
    finding = the_leak(store, name)
    assert finding.rows == len(told)
    first = OOF.samples.id[OOF.member(name).rows[told[0]]]
    assert f"{len(told)} have a caption that contains the prompt; ids {first}, " in finding.message


@needs_texts
@pytest.mark.parametrize("paste", [after, middle])
def test_prompts_in_every_text_are_found_in_vectors_alone(
    tmp_path: Path, store: Store, paste: Paste
) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra text")
    name = "instructblip"  # the best of the ten: hardest to tell from an honest one
    some = slice(0, None, 6)
    pairs = zip(captions_of(name)[some], prompts_of(store, name)[some], strict=True)
    file = tmp_path / "told.npz"
    np.savez(
        file,
        ids=OOF.samples.id[OOF.member(name).rows[some]],
        embeddings=load_encoder().encode([paste(*pair) for pair in pairs]),
    )
    remove_member(store.path, name)
    add_member(store.path, name, [file])
    finding = the_leak(store, name)
    assert "has it seen the prompts? Look at these rows" in finding.message


def mixed(name: str, told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The rows of a member, some of them with as much of their target added as of themselves."""
    member = OOF.member(name)
    rows: NDArray[np.float64] = member.embeddings.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[told] += OOF.targets()[member.rows[told]]
    return rows


@needs_texts
@pytest.mark.parametrize(
    ("name", "share"), [("gemini_1shot", 0.1), ("gpt4o_0shot", 0.3), ("cogvlm", 1.0)]
)
def test_targets_mixed_into_a_part_of_the_rows_are_found_and_the_rows_named(
    store: Store, name: str, share: float
) -> None:
    told = np.random.default_rng(5).random(len(OOF.member(name).rows)) < share
    add(store, name, mixed(name, told))
    finding = the_leak(store, name)
    first = finding.message.partition("(ids ")[2].partition(",")[0]
    row = int(np.flatnonzero(OOF.samples.id[OOF.member(name).rows] == first)[0])
    assert told[row]


@needs_texts
def test_two_other_members_are_too_few_to_accuse_a_third(store: Store) -> None:
    for name in OOF.names[2:-1]:
        remove_member(store.path, name)
    last = OOF.names[-1]
    add(store, last, mixed(last, np.ones(len(OOF.member(last).rows), dtype=np.bool_)))
    assert audit(Store.open(store.path)) == ()
