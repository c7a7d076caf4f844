"""A stand-in for OpenAQ's API v3: a real HTTP server with its paging, limits, headers, errors and faults.

Belongs here: what the server of API v3 does, as its source and its recorded answers show. Does not belong here: the
product's own code; nothing of it is imported, so that both cannot be wrong in the same way.

By hand, on recorded pages (a folder with `locations_index.json` and `measurements/sensor_<id>_page-1.json`), or on the
single location of `--synthetic`:

    python -m tests.openaq_stand_in --data <folder> --port 8080
    curl -H 'X-API-Key: stand-in' 'http://127.0.0.1:8080/v3/locations?iso=MX'
"""

import argparse
import contextlib
import gzip
import json
import math
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.openaq_holdings import Held, Refused, instant
from tests.openaq_shapes import location, measurement

KEY = "stand-in"


@dataclass
class Fault:
    """Something that goes wrong with requests whose path and query match `where`, `times` times (None: for ever).

    `kind` is one of: status (answer `status` with `body`), wide (408 if the window is longer than `hours`), html,
    truncated (JSON cut in the middle, well framed), reset (the connection breaks inside the body), drop (it breaks
    before a status line), slow (`seconds` before the answer), loris (one byte every `seconds`), partial (the last row
    is left out, `found` still counts it), same_page (whatever page or window is asked for, the first full page comes).
    """

    kind: str
    where: str = ""
    times: int | None = None
    status: int = 500
    body: str | bytes | Mapping[str, Any] = "Internal Server Error"
    headers: Mapping[str, str] = field(default_factory=dict)
    hours: float = 0.0
    seconds: float = 0.0

    def matches(self, path: str) -> bool:
        return (self.times is None or self.times > 0) and re.search(self.where, path) is not None


@dataclass(frozen=True)
class Logged:
    """One request that arrived, and what was answered."""

    at: float
    """time.monotonic() when it arrived; the same clock in all processes of a machine."""
    path: str
    params: Mapping[str, str]
    status: int


class OpenAQStandIn(Held):
    """The server and what it holds; a context manager that serves while it is open.

    `limit` requests per `per_s` seconds are allowed, counted in fixed stretches of the clock as the real server does.
    """

    def __init__(
        self,
        locations: Iterable[dict[str, Any]] = (),
        series: Mapping[int, Sequence[dict[str, Any]]] | None = None,
        *,
        keys: Iterable[str] = (KEY,),
        limit: int = 60,
        per_s: int = 60,
        nulls: str = "fail",
        port: int = 0,
    ) -> None:
        super().__init__(locations, series or {}, nulls=nulls)
        self.faults: list[Fault] = []
        self.log: list[Logged] = []
        self.keys = set(keys)
        self.limit = limit
        self.per_s = per_s
        self.lock = threading.Lock()
        self._counted: dict[int, int] = defaultdict(int)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.stand_in = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @classmethod
    def of_recorded(cls, folder: Path, **options: Any) -> "OpenAQStandIn":
        """A stand-in that holds the recorded locations and pages of `folder`."""
        index = json.loads((folder / "locations_index.json").read_text(encoding="utf-8"))
        series = {
            int(file.name.split("_")[1]): json.loads(file.read_text(encoding="utf-8"))["results"]
            for file in sorted((folder / "measurements").glob("sensor_*_page-*.json"))
        }
        return cls(index["results"], series, **options)

    @property
    def url(self) -> str:
        """The base URL, as the real one ends: with /v3."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v3"

    def requests(self, where: str = "") -> list[Logged]:
        """The requests whose path matches, in order of arrival."""
        with self.lock:
            return [entry for entry in self.log if re.search(where, entry.path)]

    def __enter__(self) -> "OpenAQStandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve_forever(self) -> None:
        """Serve until Ctrl-C."""
        self._server.serve_forever()

    def take_fault(self, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.matches(path):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def count(self) -> tuple[int, int]:
        """Count one request; the number used in this stretch of the clock, and the seconds until the next."""
        now = time.time()
        stretch = int(now // self.per_s)
        with self.lock:
            self._counted[stretch] += 1
            return self._counted[stretch], math.ceil((stretch + 1) * self.per_s - now)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # All of a storm's connections are to be answered, none refused.
    request_queue_size = 128
    stand_in: OpenAQStandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no concern of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # Headers and body leave together, so that no client waits for a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        arrived = time.monotonic()
        stand_in = self.server.stand_in
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        fault = stand_in.take_fault(self.path)
        limits: dict[str, str] = {}
        try:
            path = self._admitted(parts.path, limits)
            if fault is not None:
                self._break(fault, query)
            status: int = 200
            body: object = stand_in.answer(path, self._asked(fault, query))
        except Refused as refused:
            status, body = refused.status, refused.body
        with stand_in.lock:
            stand_in.log.append(Logged(arrived, parts.path, query, status))
        if fault is not None and fault.kind == "drop":
            self.close_connection = True
            return
        extra = dict(fault.headers) if fault is not None and status == fault.status else {}
        self._send(status, body, limits | extra if status in (200, 429) else extra, fault)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._only_get
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in `OpenAQStandIn.log`."""

    def _only_get(self) -> None:
        self.close_connection = True  # whatever body came along is not read
        self._send(405, {"detail": "Method Not Allowed"}, {}, None)

    def _admitted(self, path: str, limits: dict[str, str]) -> str:
        """The path after /v3, once version, key and rate are in order."""
        if re.match(r"/v[12](/|$)", path):
            told = "Gone. Version 1 and Version 2 API endpoints are retired and no longer available."
            raise Refused(410, {"message": f"{told} Please migrate to Version 3 endpoints."})
        if not path.startswith("/v3/"):
            raise Refused(404, {"detail": "Not Found"})
        stand_in = self.server.stand_in
        key = self.headers.get("X-API-Key")
        if key is None:
            told = "Unauthorized. A valid API key must be provided in the X-API-Key header."
            raise Refused(401, {"message": told})
        if key not in stand_in.keys:
            raise Refused(401, {"detail": "Invalid credentials"})
        used, reset = stand_in.count()
        limits["x-ratelimit-limit"] = str(stand_in.limit)
        limits["x-ratelimit-used"] = str(min(used, stand_in.limit))
        limits["x-ratelimit-remaining"] = str(max(0, stand_in.limit - used))
        limits["x-ratelimit-reset"] = str(reset)
        if used > stand_in.limit:
            raise Refused(429, {"detail": "Too many requests"})
        return path.removeprefix("/v3")

    def _break(self, fault: Fault, query: Mapping[str, str]) -> None:
        if fault.kind == "status":
            raise Refused(fault.status, fault.body)
        if fault.kind == "html":
            raise Refused(200, b"<html><body>We'll be right back</body></html>")
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault.kind == "wide":
            start, end = instant(query, "datetime_from", "UTC"), instant(query, "datetime_to", "UTC")
            if start is None or end is None or end - start > timedelta(hours=fault.hours):
                told = "Connection timed out: Try to provide more specific query parameters or a smaller time frame."
                raise Refused(408, {"detail": told})

    def _asked(self, fault: Fault | None, query: Mapping[str, str]) -> Mapping[str, str]:
        if fault is not None and fault.kind == "same_page":
            return {name: value for name, value in query.items() if name == "limit"}
        return query

    def _send(self, status: int, body: object, headers: Mapping[str, str], fault: Fault | None) -> None:
        kind = fault.kind if fault is not None else ""
        if kind == "partial" and isinstance(body, dict):
            body = {**body, "results": body["results"][:-1]}
        is_text = status == 500 and isinstance(body, str)
        text = body if isinstance(body, str) and is_text else json.dumps(body, ensure_ascii=False, default=bytes.hex)
        sent = body if isinstance(body, bytes) else text.encode()
        if kind == "truncated":
            sent = sent[: len(sent) // 2]
        content_type = (
            "text/html" if isinstance(body, bytes) else "text/plain; charset=utf-8" if is_text else "application/json"
        )
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if status < 500 and status not in (408, 429):
            self.send_header("Cache-Control", "public, max-age=900")
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(sent) > 500 and kind != "loris":
            sent = gzip.compress(sent, compresslevel=1)
            self.send_header("Content-Encoding", "gzip")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self._write(sent, fault)

    def _write(self, data: bytes, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "reset":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif fault is not None and fault.kind == "loris":
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(fault.seconds)
        else:
            self.wfile.write(data)


def synthetic(days: int = 60, *, until: date | None = None, **options: Any) -> OpenAQStandIn:
    """One location with two hourly sensors with a daily cycle, up to `until` (today when None)."""
    last = datetime.combine(until or datetime.now(UTC).date(), datetime.min.time(), UTC)
    sensors = {11: ("pm25", "µg/m³"), 12: ("o3", "ppm")}
    series = {
        id_: [
            measurement(at, scale * (2 + math.sin(at.hour / 24 * 2 * math.pi)), parameter=name, units=units)
            for at in (last - timedelta(hours=n) for n in range(days * 24))
        ]
        for id_, (name, units), scale in ((11, sensors[11], 10.0), (12, sensors[12], 0.02))
    }
    return OpenAQStandIn([location(1, sensors)], series, **options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.openaq_stand_in", description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder with locations_index.json and measurements/")
    source.add_argument("--synthetic", action="store_true", help="one made-up location, id 1")
    parser.add_argument("--port", type=int, default=8080, help="on 127.0.0.1")
    parser.add_argument("--key", default=KEY, help="the API key to accept")
    chosen = parser.parse_args(arguments)
    options = {"port": chosen.port, "keys": [chosen.key]}
    stand_in = synthetic(**options) if chosen.synthetic else OpenAQStandIn.of_recorded(chosen.data, **options)
    sys.stdout.write(f"OpenAQ API v3 stand-in at {stand_in.url}, key {chosen.key!r}; Ctrl-C ends it\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        stand_in.serve_forever()


if __name__ == "__main__":
    main()
