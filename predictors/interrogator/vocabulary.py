"""Vocabulary files: lists of phrases, one on each line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ensembler.errors import PredictorError, unknown_name


class PhraseList(NamedTuple):
    """The phrases of a file.

    Attributes:
        name: the file's, without .txt.
        phrases: unique, in the file's order.
        wanted: how many of them follow a caption.
    """

    name: str
    phrases: tuple[str, ...]
    wanted: int


def read_vocabulary(path: Path, counts: Mapping[str, int]) -> tuple[PhraseList, ...]:
    """The lists that a config names; others in the folder are left alone.

    Space around a phrase, empty lines and repeated phrases do not count.

    Args:
        path: a text file in UTF-8, or a folder of *.txt.
        counts: a file's name without .txt → how many phrases.

    Returns:
        A list for each name, in alphabetical order.

    Raises:
        PredictorError: a name has no file, a file is no text, or has fewer phrases than are asked
            for.
    """
    files = {file.stem: file for file in (path.glob("*.txt") if path.is_dir() else [path])}
    for name in counts:
        if name not in files:
            raise PredictorError(f"{path}: {unknown_name('vocabulary', name, files)}")
    return tuple(_read(files[name], count) for name, count in sorted(counts.items()))


def _read(path: Path, count: int) -> PhraseList:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PredictorError(f"{path} cannot be read as a text file in UTF-8: {error}") from error
    phrases = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(phrases) < count:
        raise PredictorError(
            f"{path} has {len(phrases)} phrases, and the config asks for the best {count}"
        )
    return PhraseList(path.stem, phrases, count)
