"""Clustered vectors, a table of their pairs, and an encoder that needs no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ensembler.curation import embedding
from ensembler.metrics import unit_rows
from ensembler.store.encoder import TextEncoder
from ensembler.store.model import EncoderRecord

Vectors = NDArray[np.float32]
DIM = 6


class Drawn:
    """An encoder that draws each text's vector by its own seed."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str], **_: object) -> NDArray[np.float64]:
        self.encoded += texts
        return unit_rows(
            np.array(
                [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
            )
        )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """What embeds prompts in place of a model."""
    model = Drawn()
    encoder = TextEncoder(EncoderRecord(name="drawn", sha256="0" * 64), model)
    monkeypatch.setattr(embedding, "load_encoder", lambda _: encoder)
    monkeypatch.setattr(embedding, "encoder_record", lambda _: encoder.record)
    return model


@pytest.fixture(scope="session")
def clustered() -> Callable[..., Vectors]:
    """`clustered(rows, noise=…, seed=…)`: unit vectors around a few centres, in mixed order."""

    def draw(rows: int, noise: float = 0.25, seed: int = 0) -> Vectors:
        rng = np.random.default_rng(seed)
        centres = unit_rows(rng.normal(size=(max(1, rows // 4), 16)))
        near = centres[rng.integers(len(centres), size=rows)]
        return unit_rows(near + rng.normal(size=(rows, 16)) * noise / 4).astype(np.float32)

    return draw


@pytest.fixture
def write_pairs_of(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """`write_pairs_of(vectors)` writes a table of pairs and their vectors, in its order."""

    def write(vectors: Vectors) -> tuple[Path, Path]:
        pairs, file = tmp_path / "pairs.tsv", tmp_path / "vectors.npy"
        lines = [f"{row:03}\tprompt {row}\n" for row in range(len(vectors))]
        pairs.write_text("image\tprompt\n" + "".join(lines))
        np.save(file, vectors)
        return pairs, file

    return write


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """`write_image(file, size=…, colour=…)`: noise without a colour; the suffix says the format."""

    def write(
        file: Path, size: tuple[int, int] = (40, 30), colour: tuple[int, int, int] | None = None
    ) -> Path:
        from PIL import Image

        noise = np.random.default_rng(list(file.name.encode()))
        pixels = noise.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        if colour is not None:
            pixels[:] = colour
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        return file

    return write
