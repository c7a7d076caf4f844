"""What is wrong, and what of it is one incident.

A failed asset is one incident: what is downstream of it cannot be right, so failures, scores, anomalies and drift there
are silenced and listed in it. After it recovers, what failed downstream before gets time to be computed again.

Belongs here: pure rules. Does not belong here: finding anything (`conditions.py`), what is kept (`outbox.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resources.alerts.level import Level

FAILURE = "failure"
QUALITY = "quality"
ANOMALIES = "anomalies"
DRIFT = "drift"
LEDGER = "ledger"
PARITY = "parity"
API = "api"
DEPENDENCY = "dependency"
SILENCE = "silence"
CONDITIONS = (FAILURE, QUALITY, ANOMALIES, DRIFT, LEDGER, PARITY, API, DEPENDENCY, SILENCE)
FOLLOWS = frozenset({FAILURE, QUALITY, ANOMALIES, DRIFT})
"""What a failure upstream explains. A ledger that does not close is wrong whatever is upstream."""

MOST_NAMED = 5
"""Days, places, features that a text names; the count says how many there are."""

GRACE = timedelta(minutes=30)
"""So long after its upstream recovered may a table still be failed from before."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong now."""

    condition: str
    subject: str
    level: Level
    title: str
    body: str
    asset: str | None = None
    """`schema.table` it is about."""
    count: int = 1
    """Occurrences it stands for."""
    at: datetime | None = None
    """When it happened, where that is an instant."""

    @property
    def identity(self) -> str:
        """The same for the same thing, however often it is looked at."""
        return f"{self.condition}/{self.subject}"


@dataclass(frozen=True)
class Incident:
    """A finding, and those downstream that it explains."""

    finding: Finding
    silenced: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Grouped:
    """Incidents to tell, and identities that are still wrong and not told by themselves."""

    incidents: tuple[Incident, ...] = ()
    held: frozenset[str] = field(default_factory=frozenset)


def grouped(
    findings: Sequence[Finding],
    parents: Mapping[str, Collection[str]],
    *,
    recovered: Mapping[str, datetime] | None = None,
    now: datetime,
) -> Grouped:
    """Findings by their root cause.

    Args:
        parents: of each table, those it is computed from.
        recovered: of tables that had failed, when they were found to be well again.
    """
    upstream = _Upstream(parents)
    failed = {one.asset for one in findings if one.condition == FAILURE and one.asset}
    roots = {name for name in failed if not upstream.of(name) & failed}
    silenced: dict[str, list[Finding]] = {}
    kept: list[Finding] = []
    waiting: set[str] = set()
    for one in findings:
        above = upstream.of(one.asset) if one.asset and one.condition in FOLLOWS else frozenset()
        if causes := sorted(above & roots):
            silenced.setdefault(causes[0], []).append(one)
        elif _is_left_over(one, above, recovered or {}, now):
            waiting.add(one.identity)
        else:
            kept.append(one)
    incidents = tuple(
        Incident(one, tuple(silenced.get(one.asset or "", ())) if one.condition == FAILURE else ()) for one in kept
    )
    return Grouped(incidents, frozenset(waiting | {one.identity for many in silenced.values() for one in many}))


def _is_left_over(one: Finding, above: Iterable[str], recovered: Mapping[str, datetime], now: datetime) -> bool:
    if one.condition != FAILURE or one.at is None:
        return False
    return any(name in recovered and one.at < recovered[name] and now - recovered[name] < GRACE for name in above)


class _Upstream:
    """All that a table is computed from, however far up."""

    def __init__(self, parents: Mapping[str, Collection[str]]) -> None:
        self._parents = parents
        self._known: dict[str, frozenset[str]] = {}

    def of(self, table: str) -> frozenset[str]:
        if table not in self._known:
            found: set[str] = set()
            open_ends = [table]
            while open_ends:
                for parent in self._parents.get(open_ends.pop(), ()):
                    if parent not in found:
                        found.add(parent)
                        open_ends.append(parent)
            self._known[table] = frozenset(found - {table})
        return self._known[table]
