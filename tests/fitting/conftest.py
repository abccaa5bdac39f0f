"""A PostgreSQL server of the tests' own, for what several processes share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DEBIAN = "/usr/lib/postgresql"  # where Debian's packages put the programs, by version
PASSWORD = "swordfish"  # which no message, spec or log may show
LONG_S = 600  # that a busy machine may take to start or stop a server; an idle one takes one


class Postgres:
    """A server on loopback, in a folder that goes with it.

    It refuses to run as root, who therefore lets the user run it that Debian's package made.
    """

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self._programs, self._folder, self._port = programs, folder, port
        self._data = folder / "data"
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self._owner: dict[str, Any] = {}
        if os.getuid() == 0:
            self._owner = {"user": "postgres", "group": "postgres", "extra_groups": ()}
            for place in (folder, secret):
                shutil.chown(place, "postgres")
        self._run(
            *("initdb", "--username=ensembler", f"--pwfile={secret}", "--auth=scram-sha-256"),
            *("--no-sync", "--encoding=UTF8", "--locale=C", self._data),
        )

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._folder} -c fsync=off"
        log = self._folder / "log"
        self._control("start", f"--log={log}", "-o", options)

    def stop(self) -> None:
        """As a crash does: every connection is cut."""
        self._control("stop", "--mode=immediate")

    def url(self, database: str) -> str:
        """A fresh database's URL."""
        url = f"ensembler:{PASSWORD}@127.0.0.1:{self._port}"
        import psycopg

        with psycopg.connect(f"postgresql://{url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        return f"postgresql+psycopg://{url}/{database}"

    def _control(self, action: str, *options: str) -> None:
        where = f"--pgdata={self._data}"
        self._run("pg_ctl", action, "--wait", f"--timeout={LONG_S}", where, *options)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            **self._owner,
        )


@contextmanager
def _port() -> Iterator[int]:
    """A port of loopback that no other process is given while the server starts or is stopped.

    A socket that is bound but does not listen leaves the port to servers that set SO_REUSEADDR, as
    PostgreSQL does.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, running; a test that stops it starts it again."""
    found = sorted(Path(DEBIAN).glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].is_file():
        pytest.fail(f"no PostgreSQL server in {DEBIAN}: sudo apt-get install --yes postgresql")
    with (
        tempfile.TemporaryDirectory(prefix="ensembler-", dir="/tmp") as folder,  # others may enter
        _port() as port,
    ):
        server = Postgres(found[-1].parent, Path(folder), port)
        server.start()
        try:
            yield server
        finally:
            server.stop()
