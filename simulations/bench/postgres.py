"""A PostgreSQL server of our own: a folder, a socket in it, one process, gone when it is stopped.

The server refuses to run as root; then it runs as the user ``postgres``, or ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from interfaces.errors import UserError

PATIENCE_S: Final[float] = 180.0
"""For what takes a second or two."""
SETTINGS: Final[tuple[str, ...]] = ("listen_addresses=''", "max_connections=60", "log_min_messages=warning")
DATABASE: Final = "postgres"


def server_folder() -> Path | None:
    """Where the newest installed server's programs are; Debian does not put them on the path."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None


class Cluster:
    """A server with its data below the system's folder for temporary files; ``settings`` as in postgresql.conf."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        """Make the data folder.

        Raises:
            UserError: PostgreSQL is not installed.
        """
        programs = server_folder()
        if programs is None:
            raise UserError("PostgreSQL's server is not installed (Debian package postgresql)")
        self._programs, self._settings = programs, (*SETTINGS, *settings)
        self._user = _user()
        self.folder = Path(tempfile.mkdtemp(prefix="stroomwacht-pg-"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        data, words = (
            self.folder / "data",
            ("--username", DATABASE, "--auth", "trust", "--encoding", "UTF8", "--no-sync"),
        )
        subprocess.run(  # noqa: S603  the programs of one installation
            [programs / "initdb", "--pgdata", data, *words], user=self._user, cwd=self.folder, check=True,
            stdout=subprocess.DEVNULL, timeout=PATIENCE_S,
        )  # fmt: skip

    @property
    def pid(self) -> int | None:
        """Of the server's first process, None while it does not run."""
        return None if self._process is None else self._process.pid

    def url(self, database: str = DATABASE) -> str:
        """How the store reaches one of its databases."""
        return f"postgresql://{DATABASE}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [word for setting in self._settings for word in ("-c", setting.replace("''", ""))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *words],
                user=self._user, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip
        end_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            if time.monotonic() > end_s or self._process.poll() is not None:
                raise UserError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once; what was committed is kept, and whoever was connected no longer is."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)
            self._process = None

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        asked = [str(self._programs / "pg_isready"), "--quiet", "--host", str(self.folder), "--username", DATABASE]
        return subprocess.run(asked, check=False, timeout=PATIENCE_S).returncode == 0  # noqa: S603


def _user() -> str | None:
    """Whom the server runs as; None: ourselves."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)
