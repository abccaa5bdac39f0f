"""Opening a storage that others open at the same moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy

from ensembler.search import storage as storages

BUSY_S = 0.02  # that a disk takes for a table: long enough for all to meet


@pytest.fixture
def slow_disk() -> Iterator[None]:
    """Every table takes its time."""

    def wait(*given: object) -> None:
        if "CREATE TABLE" in str(given[2]):
            time.sleep(BUSY_S)

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", wait)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", wait)


@pytest.mark.usefixtures("slow_disk")
def test_a_new_sqlite_file_is_opened_by_several_at_once_however_slow_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "OPENINGS", 1)  # nobody falls over another and tries again

    def opened(_: int) -> list[str]:
        storage = storages._open(f"sqlite:///{tmp_path / 'study.db'}")
        try:
            return sqlalchemy.inspect(storage.engine).get_table_names()
        finally:
            storage.engine.dispose()

    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(opened, range(3))
    assert "trials" in first
    assert others == [first, first]
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]
