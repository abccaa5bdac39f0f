"""Recorded studies for optuna-dashboard, which shows them here and changes none.

What a --resume goes on from must stay as it was written, so the dashboard's own changes (deleting a
study, notes, new studies) are refused, and a journal is read without a lock beside a running fit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import BaseJournalBackend

from ensembler.errors import InputError, StudyError
from ensembler.search.journal import RUNNING
from ensembler.search.place import check_password, driver_reason, without_password
from ensembler.search.quiet import quiet_optuna

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def dashboard_app(place: str) -> WSGIApplication:
    """optuna-dashboard on what a fit recorded.

    Args:
        place: a journal, also one that a fit is writing (NAME.running), or an SQL database's URL.

    Returns:
        A WSGI application that answers GET and HEAD alone.

    Raises:
        InputError: optuna-dashboard is missing.
        StudyError: there is no such journal or storage, or it holds no study.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise InputError(
            "the dashboard needs optuna-dashboard: pip install 'oof-ensembler[dashboard]'"
        ) from error
    show: WSGIApplication = wsgi(recorded_storage(place))

    def look(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return show(environ, start_response)
        start_response("405 Method Not Allowed", [("Content-Type", "application/json")])
        return [json.dumps({"reason": "recorded studies are shown, not changed"}).encode()]

    return look


def recorded_storage(place: str) -> BaseStorage:
    """The storage of a place that holds at least one study.

    Args:
        place: as for `dashboard_app`.

    Raises:
        StudyError: as `dashboard_app` does.
    """
    check_password(place)
    try:
        with quiet_optuna():
            storage = _database(place) if "://" in place else _journal(place)
            studies = storage.get_all_studies()
    except Exception as error:  # every driver, and every broken line, raises its own
        raise StudyError(
            f"{without_password(place)} cannot be opened: {driver_reason(error, place)}; name a"
            " journal (beside the spec: ensemble.journal, or ensemble.journal.running while a fit"
            " runs) or the URL of a database that `ensembler fit --storage` filled"
        ) from error
    if not studies:
        raise StudyError(
            f"{without_password(place)} holds no study yet; `ensembler fit` records them"
        )
    return storage


def _journal(path: str) -> BaseStorage:
    return JournalStorage(_SeenJournal(Path(path)))


def _database(url: str) -> BaseStorage:
    """A database as it is: neither SQLite's file nor Optuna's tables are made."""
    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise FileNotFoundError(f"there is no file {parsed.database!r}")
    return get_storage(RDBStorage(url, skip_table_creation=True))


class _SeenJournal(BaseJournalBackend):
    """A journal file that is read only, as far as its lines are whole.

    Args:
        path: of the journal; one that loses .running when its fit ends is followed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0  # bytes of whole lines
        self._logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries from a number on, as far as they are written."""
        if self._path.suffix == RUNNING and not self._path.exists():
            self._path = self._path.with_suffix("")
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):  # being written, or torn by a kill
                    break
                self._logs.append(json.loads(line))
                self._read += len(line)
        yield from self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse to write: no request that is let through asks for it."""
        raise NotImplementedError(f"{self._path} is only read: {logs}")
