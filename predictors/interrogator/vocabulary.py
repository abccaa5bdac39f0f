"""Vocabulary files: lists of phrases, one per line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ensembler.errors import PredictorError, unknown_name


class PhraseList(NamedTuple):
    """The phrases of a vocabulary file.

    Attributes:
        name: the file's name without .txt.
        phrases: unique phrases, in the file's order.
        wanted: number of phrases that follow a caption.
    """

    name: str
    phrases: tuple[str, ...]
    wanted: int


def read_vocabulary(path: Path, counts: Mapping[str, int]) -> tuple[PhraseList, ...]:
    """Read the lists that a config names; other files in the folder are ignored.

    Spaces around phrases, empty lines and repeated phrases are dropped.

    Args:
        path: a text file in UTF-8, or a folder of *.txt.
        counts: a file's name without .txt → number of phrases to take.

    Returns:
        A list for each name, in alphabetical order.

    Raises:
        PredictorError: a name has no file, or a file is not UTF-8 text or has fewer phrases than
            the config takes.
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
            f"{path} has {len(phrases)} phrases, but the config asks for the best {count}"
        )
    return PhraseList(path.stem, phrases, count)
