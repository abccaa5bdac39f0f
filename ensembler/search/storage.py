"""The record of a study in any SQL database that Optuna can use, alone or shared with others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError

from ensembler.errors import StudyError
from ensembler.files import locked
from ensembler.search import claims
from ensembler.search.claims import SharedRecord
from ensembler.search.place import check_password, driver_reason, without_password
from ensembler.search.quiet import quiet_optuna
from ensembler.search.record import STUDY_NAME, Record, in_memory_study, open_study

OPENINGS = 4  # processes that make the tables at the same time fall over each other: try again
AGAIN_S = 0.5
LOCKED_S = 60  # how long a process waits while others write to an SQLite file

# A heartbeat is the server's time in the time zone of the connection, which PGTZ, a user's settings
# and the like may set: on connecting, all processes agree on one.
UTC = {
    "postgresql": "SET TIME ZONE 'UTC'",
    "mysql": "SET time_zone = '+00:00'",
    "mariadb": "SET time_zone = '+00:00'",
}


@contextlib.contextmanager
def storage_record(
    url: str, identity: str, *, resume: bool, join: bool, jobs: int
) -> Iterator[Record]:
    """A record in a database, filled by as many processes as open it.

    A fresh study takes a name of its own, so that nothing recorded earlier is lost.

    Args:
        url: as Optuna takes it, as in `sqlite:///study.db`.
        identity: the digest of all that decides the sequence of trials.
        resume: go on from the latest study of this identity.
        join: the same, but begin it where there is none.
        jobs: how many units of work to claim at once.

    Raises:
        StudyError: the database cannot be opened, is lost on the way, or there is nothing to
            resume.
    """
    place = without_password(url)
    storage = _open(url)
    try:
        name = _study_name(storage, identity, place, resume=resume, join=join)
        record = SharedRecord(storage, open_study(storage, name, identity, place), at_once=jobs)
        with record.at_work():
            yield record
        record.study = in_memory_study(name, identity, record.trials)
    except (StorageInternalError, SQLAlchemyError) as error:
        raise StudyError(
            f"the storage {place!r} was lost: {driver_reason(error, url)}; when it is back, the"
            " same command with --resume or --join goes on from the recorded trials"
        ) from error
    finally:
        storage.engine.dispose()


def _open(url: str) -> RDBStorage:
    check_password(url)
    options: dict[str, Any] = {"pool_pre_ping": True}  # a server may restart between two trials
    sqlite = url.startswith("sqlite")
    if sqlite:  # its driver begins no transaction on its own: see below
        options["connect_args"] = {"timeout": LOCKED_S, "isolation_level": None}
    for left in reversed(range(OPENINGS)):
        try:
            with quiet_optuna(), _alone(url):
                storage = RDBStorage(
                    url,
                    engine_kwargs=options,
                    heartbeat_interval=claims.HEARTBEAT_S,
                    grace_period=claims.GRACE_S,
                )
            break
        except Exception as error:  # every driver raises its own
            if not left or not isinstance(error, (StorageInternalError, SQLAlchemyError)):
                raise StudyError(_cannot_open(url, error)) from error
            time.sleep(AGAIN_S)
    if sqlite:
        # Where others lock a row as they read what they are about to change, SQLite has only this.
        sqlalchemy.event.listen(
            storage.engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE")
        )
    if storage.engine.name in UTC:
        sqlalchemy.event.listen(storage.engine, "connect", _agree_on_time(UTC[storage.engine.name]))
        storage.engine.dispose()  # the connections made before
    return storage


def _alone(url: str) -> contextlib.AbstractContextManager[None]:
    """Let one process at a time open an SQLite file.

    A server creates all tables in one transaction, an SQLite file gets them one by one: on a slow
    disk, processes that start together would collide at one table after another.
    """
    database = sqlalchemy.make_url(url).database
    if not url.startswith("sqlite") or not database or not Path(database).parent.is_dir():
        return contextlib.nullcontext()
    return locked(Path(database).parent)  # not the file: closing that drops SQLite's own locks


def _agree_on_time(statement: str) -> Callable[[DBAPIConnection, object], None]:
    def agree(connection: DBAPIConnection, _: object) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(statement)
        connection.commit()  # a rollback would take it back

    return agree


def _cannot_open(url: str, error: Exception) -> str:
    remedy = "give a URL as in sqlite:///study.db or postgresql+psycopg://user@host/database"
    if isinstance(error, ImportError):
        remedy = "install that driver, or name another in the URL, as in mysql+pymysql://"
        if url.startswith("postgres"):
            remedy = (
                "pip install 'oof-ensembler[postgresql]' brings the driver of"
                " postgresql+psycopg://user@host/database"
            )
    place, reason = without_password(url), driver_reason(error, url)
    return f"the storage {place!r} cannot be opened: {reason}; {remedy}"


def _study_name(storage: RDBStorage, identity: str, place: str, *, resume: bool, join: bool) -> str:
    stem = f"{STUDY_NAME}-{identity[:12]}-"
    names = optuna.get_all_study_names(storage)
    numbers = (name.removeprefix(stem) for name in names if name.startswith(stem))
    latest = max(map(int, filter(str.isdecimal, numbers)), default=0)
    if resume and latest == 0:
        raise StudyError(
            f"nothing to resume: {place} has no study of these members and this definition"
        )
    return f"{stem}{latest if latest and (resume or join) else latest + 1}"
