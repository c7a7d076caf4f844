"""Alerts as the sensor and the command line use them.

Belongs here: configuration, and one look at everything in the words of the graph. Does not belong here: rules
(`finding.py`, `delivery.py`), statements (`outbox.py`, `failures.py`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg
import sqlalchemy as sa
from pydantic import Field

from resources.alerts import conditions, delivery, failures, outbox
from resources.alerts.channel import Channel, channels_of
from resources.alerts.delivery import Delivered
from resources.alerts.finding import FAILURE, Finding, grouped
from resources.alerts.level import Level
from resources.alerts.message import Message
from resources.alerts.outbox import Recorded
from resources.alerts.quiet import QuietHours, quiet_hours
from resources.alerts.sending import AppriseSender, Outcome, Sender
from resources.alerts.thresholds import DEFAULTS, Thresholds
from resources.errors import ConfigurationError
from resources.timescale.resource import TimescaleResource


class AlertsResource(dg.ConfigurableResource["AlertsResource"]):
    """What is wrong, who is told, and from where on. Addresses of channels are in no table, log line or message."""

    timescale: dg.ResourceDependency[TimescaleResource]
    urls: str = Field(default="", repr=False, description="name=url of each channel, separated by white space")
    levels: str = Field(default="", description="name=level (info, warning, error, critical) or name=off")
    quiet: str = Field(
        default="", description="hours in which only what is critical is told: 22:00-07:00 Europe/Berlin"
    )
    is_end_told: bool = Field(default=True, description="whether it is told that something is well again")
    most_failures: int = Field(default=DEFAULTS.most_failures, description="failed runs in a row that are critical")
    score_pct: float = Field(default=DEFAULTS.score_pct, description="scores below it are a warning")
    settled_h: float = Field(default=DEFAULTS.settled_h, description="hours after a day until its score counts")
    look_back_days: int = Field(default=DEFAULTS.look_back_days, description="days whose quality counts")
    api_s: float = Field(default=DEFAULTS.api_s, description="seconds an API may take to answer")
    circuit_s: float = Field(default=DEFAULTS.circuit_s, description="seconds a dependency may be out of order")
    silent_s: float = Field(default=DEFAULTS.silent_s, description="seconds a sensor or schedule may be overdue")

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The channels as configured.

        Raises:
            ConfigurationError: the settings are malformed.
        """
        try:
            return channels_of(self.urls, self.levels)
        except ValueError as error:
            raise ConfigurationError(f"TIDEMARK_ALERT_URLS or TIDEMARK_ALERT_LEVELS: {error}") from None

    @property
    def limits(self) -> Thresholds:
        """The thresholds in force."""
        return Thresholds(**{name: getattr(self, name) for name in Thresholds.__dataclass_fields__})

    def take_in(self, read: Callable[[int | None, Collection[str]], failures.News]) -> bool:
        """Counts failed runs since the last time; whether it did, for another process may be at it.

        Args:
            read: given the newest event known and the tables that failed last, what is new.
        """
        with self.timescale.connect() as connection:
            try:
                position = failures.take_position(connection)
            except failures.Taken:
                return False
            held = failures.failing(connection)
            news = read(position, held)
            failures.count(connection, news.runs, news.successes)
            failures.forget(connection, news.forgotten)
            failures.note_position(connection, news.position)
        return True

    def look(
        self,
        found: Sequence[Finding],
        looked_at: Collection[str],
        parents: Mapping[str, Collection[str]],
        now: datetime,
    ) -> Recorded:
        """Records what is wrong now: what the caller found, what the database says, and failed runs.

        Args:
            looked_at: the conditions the caller looked at.
            parents: of each table, those it is computed from.
        """
        with self.timescale.connect() as connection:
            findings = [*found, *conditions.look(connection, self.limits, now)]
            findings += failures.findings(connection, self.most_failures)
            failing = {one.asset for one in findings if one.condition == FAILURE and one.asset}
            recovered = outbox.recovered_since(connection, failing, now)
            incidents = grouped(findings, parents, recovered=recovered, now=now)
            return outbox.record(
                connection,
                incidents,
                {*looked_at, *conditions.LOOKED_AT, FAILURE},
                self.channels,
                now=now,
                is_resolved_told=self.is_end_told,
            )

    def deliver(
        self,
        *,
        until: datetime,
        sender: Sender | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Delivered:
        """Sends what is due, as `delivery.deliver`."""
        with self.timescale.connect() as connection:
            if not delivery.is_anything_due(connection, clock()):
                return Delivered()
        return delivery.deliver(
            self.timescale, self.channels, sender or AppriseSender(), quiet=self._quiet, clock=clock, until=until
        )

    def open_alerts(self) -> Sequence[sa.Row[Any]]:
        """See `outbox.open_alerts`."""
        with self.timescale.connect() as connection:
            return outbox.open_alerts(connection)

    def deliveries(self, alert_ids: Collection[int]) -> Sequence[sa.Row[Any]]:
        """See `outbox.deliveries_of`."""
        with self.timescale.connect() as connection:
            return outbox.deliveries_of(connection, alert_ids)

    def acknowledge(self, alert_id: int) -> str:
        """See `outbox.acknowledge`."""
        with self.timescale.connect() as connection:
            return outbox.acknowledge(connection, alert_id, now=datetime.now(UTC))

    def test(self, name: str | None, *, sender: Sender | None = None) -> dict[str, Outcome]:
        """Sends a message to a channel, or to all that are on; what became of each.

        Raises:
            ConfigurationError: there is no such channel, or none at all.
        """
        chosen = [one for one in self.channels if one.name == name or (name is None and one.is_on)]
        if not chosen:
            present = ", ".join(one.name for one in self.channels) or "none: set TIDEMARK_ALERT_URLS"
            raise ConfigurationError(f"no channel {name or 'is on'}; there is {present}")
        text = "Sent by tidemark alerts test. Nothing is wrong."
        message = Message(title="[INFO] Test of this channel", body=text, level=Level.INFO)
        return {one.name: (sender or AppriseSender()).send(one, message) for one in chosen}

    @cached_property
    def _quiet(self) -> QuietHours | None:
        try:
            return quiet_hours(self.quiet)
        except ValueError as error:
            raise ConfigurationError(f"TIDEMARK_ALERT_QUIET_HOURS: {error}") from None
