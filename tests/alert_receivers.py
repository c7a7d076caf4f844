"""Local servers that stand for those alerts are sent to: a mail server, and an HTTP server that keeps what is posted.

Belongs here: receiving, and failing on demand. Does not belong here: expectations.
"""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

SLACK_TOKENS = ("T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7")


class HttpReceiver:
    """Keeps every post: path and JSON body. Answers the statuses of `answers` first, then 200; while `stalled` is there
    and not set, it does not answer."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []
        self.answers: list[int] = []
        self.stalled: threading.Event | None = None
        self.came = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                receiver.came.set()
                if receiver.stalled:
                    receiver.stalled.wait(30)
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.posts.append((self.path, json.loads(body)))
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                with suppress(ConnectionError):  # whoever asked may have given up
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self.stalled:
            self.stalled.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def to(self, path: str) -> list[Any]:
        """Bodies of the posts to paths that begin so."""
        return [body for at, body in self.posts if at.startswith(path)]

    @property
    def webhook(self) -> str:
        """The channel's address of a webhook with JSON."""
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def slack(self) -> str:
        return f"slack://{'/'.join(SLACK_TOKENS)}/#ops"

    @property
    def pagerduty(self) -> str:
        return "pagerduty://integration-key@api-key"

    def stands_for_services(self, patch: pytest.MonkeyPatch) -> None:
        """Apprise's hosts of Slack and PagerDuty cannot be set: what it posts to them arrives here."""
        from apprise.plugins import pagerduty
        from apprise.plugins.slack import NotifySlack

        patch.setattr(NotifySlack, "webhook_url", f"{self.url}/services")
        for region in list(pagerduty.PAGERDUTY_API_LOOKUP):
            patch.setitem(pagerduty.PAGERDUTY_API_LOOKUP, region, f"{self.url}/v2/enqueue")


class SmtpReceiver:
    """A mail server that takes everything; with `refuses` it answers 550 to every recipient."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = False
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                say: Callable[[str], int] = lambda line: self.wfile.write(f"{line}\r\n".encode())  # noqa: E731
                say("220 local")
                for line in self.rfile:
                    word = line.split(maxsplit=1)[0].upper() if line.split() else b""
                    if word == b"QUIT":
                        say("221 bye")
                        return
                    if word == b"DATA":
                        say("354 go on")
                        receiver.mails.append(_mail(self.rfile))
                        say("250 kept")
                    elif word == b"RCPT" and receiver.refuses:
                        say("550 no such user")
                    else:
                        say("250 local" if word == b"EHLO" else "250 ok")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """The channel's address of a mail to ops@example.org."""
        return f"mailto://127.0.0.1:{self.port}?smtp=127.0.0.1&from=tidemark@example.org&to=ops@example.org"


def _mail(lines: Any) -> EmailMessage:
    read = []
    for line in lines:
        if line == b".\r\n":
            break
        read.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    mail = message_from_bytes(b"".join(read), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


@contextmanager
def receivers() -> Iterator[tuple[HttpReceiver, SmtpReceiver]]:
    """Both servers."""
    http, smtp = HttpReceiver(), SmtpReceiver()
    http.start()
    smtp.start()
    try:
        yield http, smtp
    finally:
        http.stop()
        smtp.stop()
