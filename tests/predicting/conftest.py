"""A package of tiny adapters, installed in a folder of the import path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin" / "colours.py"
ENTRY_POINTS = """[ensembler.predictors]
colour_words = colours:Words
colours = colours:Colours
lost = colours:NoSuchClass
no_adapter = colours:ColourConfig
neighbours = colours:Neighbours
uninstalled = colours:Uninstalled
"""


@pytest.fixture(scope="session", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that holds the package; child processes find it too."""
    place = tmp_path_factory.mktemp("site-packages")
    shutil.copy(PLUGIN, place)
    info = place / "colours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: colours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(place))
        before = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(place), before])))
        yield place
