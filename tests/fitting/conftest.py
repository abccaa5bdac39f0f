"""A PostgreSQL server of the tests' own, for what several processes share."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DEBIAN = "/usr/lib/postgresql"  # where Debian's packages put the programs, by version
PASSWORD = "swordfish"  # which no message, spec or log may show


class Postgres:
    """A server on loopback, in a folder that goes with it.

    It refuses to run as root, who therefore lets the user run it that Debian's package made.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
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
        self._run(
            "pg_ctl", "start", "--wait", f"--pgdata={self._data}", f"--log={log}", "-o", options
        )

    def stop(self) -> None:
        """As a crash does: every connection is cut."""
        self._run("pg_ctl", "stop", "--wait", f"--pgdata={self._data}", "--mode=immediate")

    def url(self, database: str) -> str:
        """A fresh database's URL."""
        url = f"ensembler:{PASSWORD}@127.0.0.1:{self._port}"
        import psycopg

        with psycopg.connect(f"postgresql://{url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        return f"postgresql+psycopg://{url}/{database}"

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            **self._owner,
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, running; a test that stops it starts it again."""
    found = sorted(Path(DEBIAN).glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not found[-1].is_file():
        pytest.fail(f"no PostgreSQL server in {DEBIAN}: sudo apt-get install --yes postgresql")
    with tempfile.TemporaryDirectory(prefix="ensembler-", dir="/tmp") as folder:  # others may enter
        server = Postgres(found[-1].parent, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
