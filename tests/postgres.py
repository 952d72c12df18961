"""A PostgreSQL server of our own: in a folder of its own, on a free loopback port, gone when the tests are.

Tests that need one are skipped, visibly, where PostgreSQL is not installed; with QT_REQUIRE=all they fail.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server that was started for us, and is stopped afterwards."""
    programs = _programs()
    if programs is None:
        absent("PostgreSQL's server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="qt-postgres-"))
    as_user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    port, data = _free_port(), folder / "data"

    def run(program, *arguments):
        command = [*as_user, str(programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    try:
        run("initdb", "-D", data, "-U", "qt", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c max_connections=20"
        run("pg_ctl", "-D", data, "-w", "-t", 30, "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://qt@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def absent(what: str) -> None:
    """Skip, because `what` is absent; fail where everything is required."""
    if os.environ.get("QT_REQUIRE") == "all":
        pytest.fail(f"{what}, and QT_REQUIRE=all")
    pytest.skip(what)


def _programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`; Debian keeps them off the path, one folder per version."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((f for f in reversed(folders) if (f / "pg_ctl").exists() and (f / "initdb").exists()), None)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
