"""What every test stands on: the real data's place, a cache of its own, no unexplained skip.

Then what tests of several folders share: small generated stores, the default study on the committed
one, a naive score, the command line run in this process.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from ensembler import api
from ensembler.blending.statistics import Statistics
from ensembler.cli import main as cli_main
from ensembler.fitting.inputs import fit_statistics, make_space, resolve_study
from ensembler.search.record import Record
from ensembler.search.space import Space
from ensembler.store.create import create_store
from ensembler.store.reader import Store
from ensembler.store.writer import add_member

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
NEEDS_SHARED = "needs ../shared"

# The same examples in every run, and however slow the machine is at the moment.
settings.register_profile(
    "ours",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ours")

Vectors = NDArray[np.floating]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Statistics go to a folder of this run, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENSEMBLER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure, save for data that the place does not have."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = {report.longrepr[2] for report in reporter.stats.get("skipped", ())}
    allowed = set() if SHARED.is_dir() else {f"Skipped: {NEEDS_SHARED}"}
    for reason in sorted(reasons - allowed):
        reporter.write_line(f"unexplained skip: {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class Ran(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
InterruptedAt = Callable[..., AbstractContextManager[None]]


class Generated(NamedTuple):
    """Vectors to fill a store with; a zero row is one that the member lacks."""

    targets: Vectors
    members: Mapping[str, Vectors]
    groups: Sequence[str]


class Prepared(NamedTuple):
    """What a search starts from."""

    space: Space
    statistics: Statistics


class FittedOof(NamedTuple):
    """The default study on the committed store."""

    spec: Path
    result: api.FitResult


@pytest.fixture(scope="session")
def write_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Store]:
    """`write_store(targets, members, groups=…, folds=…, …)`; zero rows are left out."""

    def write(
        targets: Vectors | None,
        members: Mapping[str, Vectors],
        *,
        groups: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        folds: Sequence[int] | None = None,
        weight: Sequence[float] | None = None,
        rows: int = 0,
    ) -> Store:
        beside = tmp_path_factory.mktemp("store")
        count = rows if targets is None else len(targets)
        names = [f"s{row:04}" for row in range(count)] if ids is None else list(ids)
        columns: dict[str, Sequence[object]] = {"imgId": names}
        given = {"group": groups, "fold": folds, "weight": weight}
        columns |= {name: values for name, values in given.items() if values is not None}
        lines = [
            ",".join(columns),
            *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
        ]
        (beside / "samples.csv").write_text("\n".join(lines) + "\n")
        if targets is not None:
            np.save(beside / "targets.npy", targets)
        create_store(
            beside / "oof",
            beside / "samples.csv",
            targets=None if targets is None else beside / "targets.npy",
        )
        for name, vectors in members.items():
            present = vectors.any(axis=1)
            np.savez(beside / name, id=np.array(names)[present], embeddings=vectors[present])
            add_member(beside / "oof", name, [beside / f"{name}.npz"])
        return Store.open(beside / "oof")

    return write


def _generate(
    kind: str, *, rows: int = 240, members: int = 8, dim: int = 12, seed: int = 0
) -> Generated:
    """Members that see the target through noise of their own, in one of several shapes."""
    rng = np.random.default_rng([seed, len(kind)])
    groups = rng.integers(0, rows // 4, rows)
    unit = rng.normal(size=(rows // 4, dim)) + 0.4
    targets = unit[groups]
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    found = {}
    for m in range(members):
        trust = rng.uniform(0.05, 1.0, rows)
        noise = rng.normal(size=(rows, dim)) * rng.uniform(0.3, 0.6)
        habit = rng.normal(size=dim) * 0.3
        size = np.ones(rows)
        if kind == "confidence":  # long where the target shows, short where it does not
            vectors = targets * trust[:, None] + noise * (1.1 - trust)[:, None]
            size = trust**2
        else:
            vectors = targets + noise + habit
        if kind == "noise" or (kind == "mixed" and m % 2):
            size = rng.lognormal(sigma=1.0, size=rows)
        if kind == "mixed":
            size = size * 10.0 ** rng.integers(-4, 5)
        if kind == "partial" and m:
            size = np.where(rng.random(rows) < rng.uniform(0.3, 1.0), size, 0.0)
        vectors *= (size / np.linalg.norm(vectors, axis=1))[:, None]
        found[f"m{m}"] = vectors.astype(np.float32)
    return Generated(targets.astype(np.float32), found, [f"g{g:03}" for g in groups])


@pytest.fixture(scope="session")
def generate() -> Callable[..., Generated]:
    """`generate(kind, rows=…, members=…, …)`; kind: confidence, noise, mixed or partial."""
    return _generate


@pytest.fixture(scope="session")
def small(write_store: Callable[..., Store]) -> Store:
    """Four members of partial coverage on 120 rows: a fit takes half a second."""
    data = _generate("partial", rows=120, members=4)
    return write_store(data.targets, data.members, groups=data.groups)


@pytest.fixture(scope="session")
def prepare() -> Callable[..., Prepared]:
    """`prepare(store, study="default", trials=…, **keys)`; keys replace the study's own."""

    def make(store: Store, study: str = "default", **keys: object) -> Prepared:
        _, definition = resolve_study(study, members=None, trials=None, seed=None)
        space = make_space(definition.model_copy(update=keys), store)
        return Prepared(space, fit_statistics(store, space, jobs=1, progress=None))

    return make


@pytest.fixture(scope="session")
def oof() -> Path:
    """The committed store."""
    return Path(__file__).parents[1] / "oof"


@pytest.fixture(scope="session")
def fitted_oof(oof: Path, tmp_path_factory: pytest.TempPathFactory) -> FittedOof:
    """The default study on the committed store, once."""
    spec = tmp_path_factory.mktemp("fit") / "ensemble.json"
    return FittedOof(spec, api.fit(oof, spec=spec))


@pytest.fixture(scope="session")
def interrupted_at() -> InterruptedAt:
    """`with interrupted_at(trial, kind=Record):` Ctrl-C as that trial is about to be recorded."""

    @contextmanager
    def interrupt(trial: int, kind: type[Record] = Record) -> Iterator[None]:
        append = kind.append

        def stopping(record: Record, done: Any, *rest: Any) -> None:  # noqa: ANN401 - only its index counts
            if done.index == trial:
                raise KeyboardInterrupt
            append(record, done, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "append", stopping)
            yield

    return interrupt


@pytest.fixture
def ensembler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`ensembler("fit", store, …)` runs the command line in this process."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["ensembler", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli_main.main()
        return Ran(int(stopped.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def sigterm_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """`with sigterm_at(2):` a scheduler ends the command as it tells of progress that often."""

    @contextmanager
    def sigterm(call: int) -> Iterator[None]:
        calls = 0

        def progress(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGTERM)

        @contextmanager
        def stages(*_: object) -> Iterator[Callable[..., None]]:
            yield progress

        with monkeypatch.context() as patch:
            patch.setattr("ensembler.cli.interrupting.stages", stages)
            yield
        assert calls >= call

    return sigterm


def _naive_cosines(
    members: Sequence[Vectors],
    targets: Vectors,
    priors: Vectors,
    *,
    weights: Sequence[float],
    alphas: Sequence[float],
    means: Sequence[Vectors] | None = None,
) -> NDArray[np.float64]:
    """(rows,) cosines of a blend with the targets, row by row in float64, by the formula."""
    cosines = np.zeros(len(targets))
    for row, (target, prior) in enumerate(zip(targets, priors, strict=True)):
        blend, covered = weights[0] * prior.astype(np.float64), False
        for m, vectors in enumerate(members):
            x = vectors[row].astype(np.float64)
            if weights[1 + m] == 0.0 or not x.any():
                continue
            if means is not None:
                x = x - means[m]
            blend = blend + weights[1 + m] * x * np.linalg.norm(x) ** -alphas[m]
            covered = True
        if not covered:
            blend = prior.astype(np.float64)
        t = target.astype(np.float64)
        cosines[row] = blend @ t / np.linalg.norm(blend) / np.linalg.norm(t)
    return cosines


@pytest.fixture(scope="session")
def naive_cosines() -> Callable[..., NDArray[np.float64]]:
    """The score of a blend, row by row: what every faster way must agree with."""
    return _naive_cosines
