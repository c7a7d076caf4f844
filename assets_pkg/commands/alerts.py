"""`tidemark alerts`: what is wrong, whether a channel works, and taking an alert on.

Belongs here: layout, and what the commands answer. Does not belong here: what is an alert, sending
(`resources/alerts/`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from assets_pkg.commands.tables import terminal
from resources.alerts.resource import AlertsResource
from resources.alerts.sending import Arrival
from resources.wiring import Settings, alerts_resource, build_timescale

COLORS = {"info": "blue", "warning": "yellow", "error": "red", "critical": "bold red"}


def list_alerts(chosen: Settings) -> int:
    """Prints the open alerts and what became of telling them; 0."""
    console = terminal()
    alerts = alerts_resource(chosen, build_timescale(chosen))
    show_channels(alerts, console)
    found = alerts.open_alerts()
    if not found:
        console.print("Nothing is wrong: no open alerts")
        return 0
    told = alerts.deliveries([row.alert_id for row in found])
    table = Table(title="Open alerts")
    for name in ("id", "level", "alert", "since", "seen", "told"):
        table.add_column(name, justify="right" if name == "id" else "left")
    for row in found:
        mine = [one for one in told if one.alert_id == row.alert_id]
        level = f"[{COLORS[row.level]}]{row.level}[/]"
        table.add_row(
            str(row.alert_id), level, _text(row), _at(row.first_seen_at), _at(row.last_seen_at), _told(row, mine)
        )
    console.print(table)
    return 0


def show_channels(alerts: AlertsResource, console: Console) -> None:
    """The channels, without their addresses."""
    if not alerts.channels:
        console.print("Channels: none, alerts are only recorded (TIDEMARK_ALERT_URLS)", highlight=False)
    for channel in alerts.channels:
        console.print(f"Channel {channel.described()}", highlight=False, markup=False)


def show_open(alerts: AlertsResource, console: Console) -> None:
    """One line per open alert."""
    found = alerts.open_alerts()
    for row in found:
        taken_on = ", taken on" if row.acknowledged_at else ""
        console.print(
            f"Alert {row.alert_id}: {row.level}, {row.title} (since {_at(row.first_seen_at)} UTC{taken_on})",
            highlight=False,
            markup=False,
        )
    if not found:
        console.print("Alerts: none open")


def try_channel(chosen: Settings, name: str | None) -> int:
    """Sends a message to one channel or all; 1 if one did not take it."""
    console = terminal()
    outcomes = alerts_resource(chosen, build_timescale(chosen)).test(name)
    for channel, outcome in outcomes.items():
        told = "arrived" if outcome.arrival is Arrival.ARRIVED else f"did not arrive: {outcome.told}"
        console.print(f"{channel}: {told}", highlight=False, markup=False)
    return 0 if all(one.arrival is Arrival.ARRIVED for one in outcomes.values()) else 1


def acknowledge(chosen: Settings, alert_id: int) -> int:
    """Takes an alert on: nobody is told more of it but its end; 0."""
    title = alerts_resource(chosen, build_timescale(chosen)).acknowledge(alert_id)
    terminal().print(f"Taken on: {title}", highlight=False, markup=False)
    return 0


def _text(row: Any) -> str:
    silenced = f" (and {len(row.silenced)} downstream)" if row.silenced else ""
    return f"{row.title}{silenced}"


def _told(row: Any, mine: Sequence[Any]) -> str:
    if row.acknowledged_at:
        return f"taken on {_at(row.acknowledged_at)}"
    return "; ".join(f"{one.channel} {one.state}{f': {one.last_error}' if one.last_error else ''}" for one in mine)


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
