"""The arguments of `tidemark alerts`.

Belongs here: what can be said. Does not belong here: what is done then (`alerts.py`, which is imported when it is).
"""

import argparse
from collections.abc import Callable

from resources.wiring import Settings


def add_alerts(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    settings_of: Callable[[argparse.Namespace], Settings],
) -> None:
    """Adds the command; `settings_of` says which settings are in force under the arguments."""
    alerts = commands.add_parser("alerts", help="what is wrong, who was told; try a channel; take an alert on")
    alerts.add_argument("--demo", action="store_true", help="on the demo's database")
    alerts.set_defaults(run=lambda chosen: _list(settings_of(chosen)))
    ways = alerts.add_subparsers(metavar="list | test | ack")
    listed = ways.add_parser("list", help="the channels and the open alerts")
    listed.set_defaults(run=lambda chosen: _list(settings_of(chosen)))
    test = ways.add_parser("test", help="send a message to a channel; 1 if it does not take it")
    test.add_argument("channel", nargs="?", help="its name (default: all that are on)")
    test.set_defaults(run=lambda chosen: _test(settings_of(chosen), chosen.channel))
    ack = ways.add_parser("ack", help="take an alert on: nobody is told more of it but its end")
    ack.add_argument("id", type=int, help="the number that `tidemark alerts list` shows")
    ack.set_defaults(run=lambda chosen: _acknowledge(settings_of(chosen), chosen.id))
    for way in (listed, test, ack):
        # Without a default of its own: that would hide what was said before the way.
        way.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="on the demo's database")


def _list(settings: Settings) -> int:
    from assets_pkg.commands.alerts import list_alerts

    return list_alerts(settings)


def _test(settings: Settings, name: str | None) -> int:
    from assets_pkg.commands.alerts import try_channel

    return try_channel(settings, name)


def _acknowledge(settings: Settings, alert_id: int) -> int:
    from assets_pkg.commands.alerts import acknowledge

    return acknowledge(settings, alert_id)
