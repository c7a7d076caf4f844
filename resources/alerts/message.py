"""What people read: one alert, or many in one message.

Belongs here: wording and length. Does not belong here: what is sent together (`delivery.py`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from resources.alerts.level import Level

MOST_LISTED = 20
"""Of a digest, and of what an incident silences."""

LONGEST_TITLE = 200
LONGEST_BODY = 3_000
"""Characters; Slack's blocks take as many, mail and webhooks more."""

RAISED, RESOLVED = "raised", "resolved"


@dataclass(frozen=True, kw_only=True)
class Told:
    """An alert as it stands when it is told."""

    delivery_id: int
    alert_id: int
    identity: str
    kind: str
    level: Level
    title: str
    body: str
    silenced: Sequence[str]
    count: int
    first_seen_at: datetime
    resolved_at: datetime | None
    created_at: datetime
    """When the telling became due."""
    attempts: int = 0

    @property
    def is_over(self) -> bool:
        return self.resolved_at is not None


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is handed to a channel."""

    title: str
    body: str
    level: Level
    is_resolved: bool = False
    identity: str = ""
    """What it is about, for services that join messages of one incident; empty: many things."""


def single(told: Told) -> Message:
    """One alert."""
    mark = "RESOLVED" if told.is_over else told.level.word.upper()
    lines = [told.body]
    if told.silenced:
        lines += ["", f"Downstream of it, and not told by itself ({len(told.silenced)}):", *_listed(told.silenced)]
    lines += ["", f"Since {_moment(told.first_seen_at)}."]
    if told.resolved_at:
        lines.append(f"Gone since {_moment(told.resolved_at)}.")
    else:
        lines.append(f"To be told no more of it: tidemark alerts ack {told.alert_id}")
    return Message(
        title=_line(f"[{mark}] {told.title}"),
        body=_cut("\n".join(lines)),
        level=told.level,
        is_resolved=told.is_over,
        identity=f"{told.identity}#{told.alert_id}",
    )


def digest(many: Sequence[Told]) -> Message:
    """Many alerts at once, the most urgent first."""
    ordered = sorted(many, key=lambda one: (one.is_over, -one.level, one.first_seen_at, one.alert_id))
    counts = Counter("resolved" if one.is_over else one.level.word for one in ordered)
    marks = [f"{number} {word}" for word, number in counts.items()]
    lines = [f"[{'RESOLVED' if one.is_over else one.level.word.upper()}] {_line(one.title)}" for one in ordered]
    return Message(
        title=_line(f"{len(ordered)} alerts: {', '.join(marks)}"),
        body=_cut("\n".join([*_listed(lines), "", "All of them: tidemark alerts list"])),
        level=max(one.level for one in ordered),
        is_resolved=all(one.is_over for one in ordered),
    )


def _listed(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LISTED
    return [*(f"- {line}" for line in lines[:MOST_LISTED]), *([f"- and {more} more"] if more > 0 else [])]


def _line(text: str) -> str:
    """One line: a title becomes a header of a mail."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TITLE else f"{text[: LONGEST_TITLE - 1]}…"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_BODY else f"{text[: LONGEST_BODY - 1]}…"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
