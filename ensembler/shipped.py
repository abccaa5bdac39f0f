"""The studies and recipes that come with ensembler."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["recipes", "studies"]


def shipped(kind: Kind) -> dict[str, Path]:
    """Files that are asked for by name.

    Args:
        kind: of file, as their folder is called.

    Returns:
        Name → TOML file, in alphabetical order. The name is the file's path below the folder,
        without its suffix: "default", "knjcode_5th/eva02_stage1".
    """
    packaged = Path(__file__).parent / kind
    source = Path(__file__).parents[1] / kind  # of a checkout that is installed in place
    folder = packaged if packaged.is_dir() else source
    paths = sorted(folder.rglob("*.toml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
