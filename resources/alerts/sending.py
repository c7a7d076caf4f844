"""Sending: a message to a channel, and whether it arrived.

Apprise speaks to Slack, mail servers, PagerDuty and webhooks. Its log lines hold what it sends and whom to, its
warnings parts of addresses: they go nowhere, only the answer's status is taken out of them.

Belongs here: Apprise, loaded when something is sent. Does not belong here: when it is tried again (`delivery.py`).
"""

import hashlib
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol
from urllib.parse import urlencode

from resources.alerts.channel import Channel
from resources.alerts.level import Level
from resources.alerts.message import Message

LONGEST_S = 15.0
"""Apprise's own calls end after 4 s without an answer; whatever drips on is given up then."""

COME_AGAIN = {408, 409, 425, 429}
"""Refusals that pass; any other 4xx stays as it is until a person acts."""

STATUS = re.compile(r"\berror=(\d{3})\b")


class Arrival(Enum):
    """What became of a message."""

    ARRIVED = "arrived"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True)
class Outcome:
    """What became of a message, and why, without a secret."""

    arrival: Arrival
    told: str = ""


class Sender(Protocol):
    """Whoever can hand a message to a channel."""

    def send(self, channel: Channel, message: Message) -> Outcome:
        """Hands it over and says whether it arrived; raises nothing for a channel that is away."""


class AppriseSender:
    """Hands messages over by Apprise."""

    def send(self, channel: Channel, message: Message) -> Outcome:
        with _unheard():
            from apprise import Apprise, NotifyFormat

            service = self._service(channel, message)
            if service is None:
                return Outcome(Arrival.NEVER, f"the address of channel {channel.name} is not one Apprise knows")
            manager = Apprise(asset=service.asset)
            manager.add(service)
            result = manager.notify(
                title=message.title,
                body=message.body,
                notify_type=_type_of(message),
                body_format=NotifyFormat.TEXT,
                timeout=LONGEST_S,
            )
            if result:
                return Outcome(Arrival.ARRIVED)
            statuses = [int(found[1]) for entry in result.logs() if (found := STATUS.search(str(entry.message)))]
        return _refused(channel, statuses, result.timeout_count > 0)

    def check(self, channel: Channel) -> str | None:
        """What is wrong with the channel's address; None: nothing that can be told without sending."""
        with _unheard():
            message = Message(title="", body="", level=Level.INFO)
            known = self._service(channel, message) is not None
        return None if known else f"the address of channel {channel.name} is not one Apprise knows"

    def _service(self, channel: Channel, message: Message) -> Any:
        from apprise import Apprise, AppriseAsset

        # A redirect would take the secret to whoever answers. Nothing is kept on disk.
        asset = AppriseAsset(
            app_id="Tidemark",
            app_desc="Tidemark alerts",
            http_redirects=False,
            storage_mode="memory",
            service_timeout=LONGEST_S,
        )
        return Apprise.instantiate(_address(channel, message), asset=asset, suppress_exceptions=True)


def _address(channel: Channel, message: Message) -> str:
    """The URL; to PagerDuty with what joins the messages of one incident, so that the last one closes it."""
    if channel.kind != "pagerduty":
        return channel.url
    added = {"severity": message.level.word}
    if message.identity:
        added |= {"action": "map", "dedup": hashlib.sha256(message.identity.encode()).hexdigest()}
    given = channel.url.partition("?")[2]
    missing = {name: value for name, value in added.items() if f"{name}=" not in given}
    return f"{channel.url}{'&' if given else '?'}{urlencode(missing)}"


def _type_of(message: Message) -> Any:
    from apprise import NotifyType

    if message.is_resolved:
        return NotifyType.SUCCESS
    return {Level.INFO: NotifyType.INFO, Level.WARNING: NotifyType.WARNING}.get(message.level, NotifyType.FAILURE)


def _refused(channel: Channel, statuses: list[int], is_late: bool) -> Outcome:
    if statuses:
        status = statuses[-1]
        is_final = 400 <= status < 500 and status not in COME_AGAIN
        advice = ": check its address" if is_final else ""
        return Outcome(Arrival.NEVER if is_final else Arrival.LATER, f"{channel.kind} answered {status}{advice}")
    return Outcome(Arrival.LATER, f"{channel.kind} did not {'answer in time' if is_late else 'take the message'}")


class _Deaf(logging.Filter):
    """Drops what threads that send would log: urllib3 writes the path of a request, which is Slack's secret. What it
    says for debugging is dropped for good, for a call that was given up may end later."""

    def __init__(self) -> None:
        super().__init__()
        self.senders = 0

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG and not self.senders


_DEAF = _Deaf()
_DEAF_LOCK = threading.Lock()
_CHATTY = ("urllib3.connectionpool", "requests", "smtplib")


@contextmanager
def _unheard() -> Iterator[None]:
    own = logging.getLogger("apprise")
    with _DEAF_LOCK:
        _DEAF.senders += 1
        own.propagate = False  # for good: Apprise may log from a thread that outlives the call
        if not own.handlers:
            own.addHandler(logging.NullHandler())
        for name in _CHATTY:
            logging.getLogger(name).addFilter(_DEAF)
    try:
        yield
    finally:
        with _DEAF_LOCK:
            _DEAF.senders -= 1
