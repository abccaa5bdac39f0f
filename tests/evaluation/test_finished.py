"""An evaluation goes on where it was stopped, and finds nothing that would differ today."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembler.blenders.contract import Blender
from ensembler.blenders.data import Data
from ensembler.blenders.registry import parse_blender
from ensembler.blenders.uniform import Uniform
from ensembler.caching import cache_folder
from ensembler.evaluation import estimate as estimating
from ensembler.evaluation import finished
from ensembler.evaluation.choosing import choose_blender
from ensembler.evaluation.estimate import Estimate, estimate
from ensembler.evaluation.rows import SHOWN
from ensembler.files import sha256_arrays
from ensembler.search.space import Space
from ensembler.store.corpus import Corpus
from ensembler.testing.worlds import DIM

ROOT = Path(__file__).parents[2]
FOLDS = 4
FITS = 1 + FOLDS

Made = list[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own."""
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The names of the blenders that were fitted, fit by fit."""
    names: Made = []

    def noted(data: Data, blender: Blender, held_out: frozenset[int], seed: int) -> Any:  # noqa: ANN401 - whatever it finds
        names.append(blender.name)
        return blender.fit(data, held_out, seed)

    monkeypatch.setattr(estimating, "fit_once", noted)
    return names


def _asked(data: Data, name: str = "uniform", **options: Any) -> Estimate:  # noqa: ANN401 - of `estimate`
    return estimate(parse_blender(name), [data], 0, extremes=3, kept=True, **options)


def _same(one: Estimate, other: Estimate) -> bool:
    """Whether two estimates are equal, seconds and all, to the last bit."""
    arrays = [
        sha256_arrays(e.cosines, e.first, *(a for fit in e.outer[0] for a in fit.extremes))
        for e in (one, other)
    ]
    told = [
        [
            (fit.members, repr(fit.objective), fit.status, fit.weighting, fit.seconds)
            for fit in (e.fitted, *e.outer[0])
        ]
        for e in (one, other)
    ]
    return arrays[0] == arrays[1] and told[0] == told[1]


@pytest.mark.parametrize("name", ["weighted", "gated"])
def test_what_is_finished_is_found_again_bit_for_bit(name: str, data: Data, made: Made) -> None:
    first = _asked(data, name)
    assert len(made) == FITS
    assert _same(_asked(data, name), first)
    assert len(made) == FITS


def test_a_fit_finds_what_an_evaluation_has_finished(data: Data, made: Made) -> None:
    evaluated = estimate(parse_blender("uniform"), [data], 0, extremes=SHOWN, kept=True)
    chosen = choose_blender("uniform", data, 0)
    assert len(made) == FITS
    assert chosen.cosines is not None
    assert chosen.cosines.tobytes() == evaluated.cosines.tobytes()


def test_what_is_not_to_be_kept_is_not(data: Data, made: Made, cache: Path) -> None:
    for _ in range(2):
        estimate(parse_blender("uniform"), [data], 0)
    assert len(made) == 2 * FITS
    assert not list(cache.iterdir())


def _other_fold(data: Data) -> Data:
    return replace(
        data, statistics=replace(data.statistics, fold=data.statistics.fold[::-1].copy())
    )


def _other_weight(data: Data) -> Data:
    weight = np.linspace(1.0, 2.0, len(data.statistics))
    return replace(data, statistics=replace(data.statistics, weight=weight))


def _other_study(data: Data) -> Data:
    definition = data.space.definition.model_copy(update={"trials": 7})
    space = Space(definition=definition, groups=data.space.groups, names=data.space.names)
    return replace(data, space=space)


def _with_corpus(data: Data) -> Data:
    corpus = Corpus(mean=np.zeros(DIM), covariance=np.eye(DIM), prompts=9, encoder="drawn")
    return replace(data, corpus=corpus)


@pytest.mark.parametrize("change", [_other_fold, _other_weight, _other_study, _with_corpus])
def test_on_whatever_differs_fits_are_made_anew(
    change: Callable[[Data], Data], data: Data, made: Made
) -> None:
    _asked(data)
    _asked(change(data))
    assert len(made) == 2 * FITS


def test_other_seconds_of_a_member_are_other_data(data: Data, timed: Data, made: Made) -> None:
    _asked(data)
    _asked(timed)
    assert len(made) == 2 * FITS


def test_other_code_options_or_seeds_call_for_fits_of_their_own(
    data: Data, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    _asked(data, "greedy")
    _asked(data, "greedy:bags=3")
    estimate(parse_blender("greedy"), [data], 1, extremes=3, kept=True)
    monkeypatch.setattr(finished, "code_digest", lambda package: f"other {package}")
    _asked(data, "greedy")
    assert len(made) == 4 * FITS


@dataclass(frozen=True)
class Quiet(Uniform):
    """The plain average, with an option that its repr leaves out."""

    __module__ = Uniform.__module__  # as if a package had brought it
    depth: int = field(default=1, repr=False)


def test_options_that_a_repr_leaves_out_call_for_fits_of_their_own(data: Data, made: Made) -> None:
    for depth in (1, 2, 1):
        estimate(Quiet(depth=depth), [data], 0, kept=True)
    assert len(made) == 2 * FITS


def test_code_that_no_file_tells_of_is_not_looked_up(
    data: Data, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    blender = parse_blender("uniform")
    monkeypatch.setattr(type(blender), "__module__", "typed_into_a_notebook")
    for _ in range(2):
        estimate(blender, [data], 0, kept=True)
    assert len(made) == 2 * FITS


def test_a_changed_module_changes_the_digest_of_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    digests = set()
    for version in (1, 2):
        (tmp_path / "a_blender.py").write_text(f"VERSION = {version}\n")
        (tmp_path / "blenders").mkdir(exist_ok=True)
        (tmp_path / "blenders" / "__init__.py").write_text("")
        (tmp_path / "blenders" / "one.py").write_text(f"NUMBER = {version}\n")
        finished.code_digest.cache_clear()
        digests |= {finished.code_digest("a_blender"), finished.code_digest("blenders")}
    finished.code_digest.cache_clear()
    assert len(digests) == 4


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x93NUMPY", None])
def test_a_broken_file_is_made_anew(
    damage: bytes | None, data: Data, made: Made, cache: Path
) -> None:
    first = _asked(data)
    (entry,) = (path for path in cache.iterdir() if path.is_dir())
    assert {path.name for path in entry.iterdir()} == {"all", "0", "1", "2", "3"}
    file = entry / "1"
    file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
    again = _asked(data)
    assert len(made) == FITS + 1
    assert again.cosines.tobytes() == first.cosines.tobytes()
    _asked(data)
    assert len(made) == FITS + 1


def test_nothing_kept_is_unpickled(data: Data, made: Made, cache: Path) -> None:
    _asked(data)
    (entry,) = (path for path in cache.iterdir() if path.is_dir())
    with (entry / "0").open("wb") as file:
        np.savez(file, told=np.array([print], dtype=object))
    _asked(data)
    assert len(made) == FITS + 1


def test_a_full_disk_costs_only_what_could_be_kept(
    data: Data, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> Any:  # noqa: ANN401 - nothing is returned
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(finished, "atomic_write", full)
    first = _asked(data)
    assert _asked(data).cosines.tobytes() == first.cosines.tobytes()
    assert len(made) == 2 * FITS


def _run(store: Path, fits: Path, dies: int, jobs: int) -> subprocess.CompletedProcess[str]:
    script = str(Path(__file__).with_name("kill_evaluation.py"))
    return subprocess.run(
        [sys.executable, script, str(store), str(fits), str(dies), str(jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def _untimed(printed: str) -> Any:  # noqa: ANN401 - whatever was printed
    document = json.loads(printed)
    for one in (document, *document["blends"].values()):
        del one["seconds"]
    return document


def test_a_killed_evaluation_ends_as_one_that_was_not_and_fits_nothing_twice(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _run(data.store.path, tmp_path / "whole", -1, 1)
    assert whole.returncode == 0, whole.stderr
    fits = sorted((tmp_path / "whole").read_text().splitlines())
    assert len(set(fits)) == len(fits) == 3 * (1 + 2 * FOLDS + 2 * 2 * FOLDS)
    monkeypatch.setenv("ENSEMBLER_CACHE", str(tmp_path / "another"))
    for dies in (3, 30):  # then what is left, on two threads
        killed = _run(data.store.path, tmp_path / "killed", dies, 1)
        assert killed.returncode == -signal.SIGKILL
    ended = _run(data.store.path, tmp_path / "killed", -1, 2)
    assert ended.returncode == 0, ended.stderr
    assert sorted((tmp_path / "killed").read_text().splitlines()) == fits
    assert _untimed(ended.stdout) == _untimed(whole.stdout)
