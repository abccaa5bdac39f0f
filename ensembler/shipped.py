"""The studies and recipes that ship with ensembler."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["recipes", "studies"]


def shipped(kind: Kind) -> dict[str, Path]:
    """The shipped files of a kind, by name.

    Args:
        kind: the name of their folder.

    Returns:
        Name → TOML file, in alphabetical order. A name is the file's path below the folder,
        without its suffix: "default", "knjcode_5th/eva02_stage1".
    """
    packaged = Path(__file__).parent / kind
    source = Path(__file__).parents[1] / kind  # in an editable install
    folder = packaged if packaged.is_dir() else source
    paths = sorted(folder.rglob("*.toml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
