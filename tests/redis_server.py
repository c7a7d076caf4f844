"""A Redis server of a test's own: on a free port of this machine, with a password, stopped and started at will.

Belongs here: the process. Does not belong here: what is in it.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import redis

PASSWORD = "p,a=1%"  # what Feast's own connection string cannot hold
PATIENCE_S = 20


class RedisServer:
    """One server; its data are gone when it stops."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, *, password: str = PASSWORD, db: int = 0) -> str:
        return f"redis://:{quote(password, safe='')}@127.0.0.1:{self.port}/{db}"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url())

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "-", "--dir", self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin
        options = f'bind 127.0.0.1\nport {self.port}\nsave ""\nrequirepass "{PASSWORD}"\n'
        self._process.stdin.write(options.encode())
        self._process.stdin.close()
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        raise TimeoutError("redis-server does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()


@contextmanager
def redis_server() -> Iterator[RedisServer | None]:
    """A running server; None where there is no `redis-server`."""
    if shutil.which("redis-server") is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tidemark-redis-") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
