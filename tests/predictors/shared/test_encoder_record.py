"""The encoder behind a captioner: recorded with its member, the packaged one too, and held to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ensembler.dumping.dump import dump
from ensembler.inference.messages import Load, Message, Refused, Setup
from ensembler.inference.worker import Worker
from ensembler.store.create import create_store
from ensembler.store.encoder import load_encoder
from ensembler.store.model import EncoderRecord, MemberRecord
from ensembler.store.reader import Store

IDS = ("92e911621", "b")


@pytest.fixture(scope="module")
def models(blip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a captioner and its definition, which names no encoder."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(blip, folder / "blip")
    (folder / "blip.toml").write_text(
        'adapter = "blip"\n[config]\nbeams = 1\nmax_tokens = 4\n[files]\nmodel = "blip"\n'
    )
    return folder


@pytest.fixture(scope="module")
def member(
    models: Path,
    tmp_path_factory: pytest.TempPathFactory,
    noise: Callable[..., NDArray[np.uint8]],
) -> MemberRecord:
    """The member that a dump stored."""
    folder = tmp_path_factory.mktemp("dump")
    (folder / "images").mkdir()
    for id_, image in zip(IDS, noise(len(IDS), 32), strict=True):
        Image.fromarray(image).save(folder / "images" / f"{id_}.png")
    (folder / "samples.csv").write_text("\n".join(["imgId", *IDS]) + "\n")
    create_store(folder / "oof", folder / "samples.csv")
    dump(
        folder / "oof",
        "blip",
        predictor=models / "blip.toml",
        images=folder / "images",
        device="cpu",
        failures=folder / "failures.csv",
    )
    return Store.open(folder / "oof").member("blip").record


def loading(models: Path, member: MemberRecord, encoder: EncoderRecord | None) -> Message:
    """A worker's answer when it is asked to load the member's predictor."""
    said: list[Message] = []
    setup = Setup(images=(), device="cpu", precision="float32", threads=1)
    Worker(setup, said.append).take(
        Load(
            predictor="blip",
            config=member.origin.config,
            files={"model": str(models / "blip")},
            preprocessing=member.origin.preprocessing,
            encoder=encoder,
            dim=member.dim,
        )
    )
    (answer,) = said
    return answer


def test_a_member_records_the_packaged_encoder(member: MemberRecord) -> None:
    assert member.origin.encoder == load_encoder().record


def test_the_recorded_encoder_is_known_by_its_content_not_by_its_name(
    models: Path, member: MemberRecord
) -> None:
    recorded = member.origin.encoder
    assert recorded is not None
    moved = recorded.model_copy(update={"name": "moved"})
    assert loading(models, member, moved).kind == "loaded"


def test_a_member_that_records_no_encoder_is_loaded(models: Path, member: MemberRecord) -> None:
    assert loading(models, member, None).kind == "loaded"


def test_another_encoder_than_the_recorded_one_is_refused(
    models: Path, member: MemberRecord
) -> None:
    answer = loading(models, member, EncoderRecord(name="e5-small", sha256="0" * 64))
    assert isinstance(answer, Refused)
    assert "encodes texts with all-MiniLM-L6-v2" in answer.reason
    assert "made with e5-small (sha256 0000" in answer.reason
