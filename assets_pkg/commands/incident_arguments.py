"""The arguments of `tidemark incident` and `tidemark drift`.

Belongs here: what can be said, and how its text is read. Does not belong here: what is done then (`incidents.py`,
`drift.py`, which are imported when it is: they bring the database and pandas along).
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from resources.wiring import Settings
from schemas.anomalies import Kind


def add_incident(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    settings_of: Callable[[argparse.Namespace], Settings],
) -> argparse.ArgumentParser:
    """Adds the command; `settings_of` says which settings are in force under the arguments."""
    incident = commands.add_parser("incident", help="what people know of odd series; what was expected is none")
    ways = incident.add_subparsers(required=True, metavar="add | expect | list | remove")

    add = ways.add_parser("add", help="note a period of series; its rows train no baseline")
    add.add_argument("dataset")
    add.add_argument("--entity", type=_pair, action="append", default=[], help="column=value; left out: any")
    add.add_argument("--metric", help="left out: any")
    add.add_argument("--kind", choices=[kind.value for kind in Kind], help="left out: any kind of anomaly")
    add.add_argument("--from", dest="first", type=_instant, required=True, help="first instant, ISO 8601")
    add.add_argument("--to", dest="last", type=_instant, required=True, help="last instant, included")
    add.add_argument("--note", required=True, help="what happened")
    add.add_argument("--by", help="who says so (default: the account)")
    add.add_argument("--expected", action="store_true", help="it is how things are: baselines learn from it")
    add.set_defaults(run=lambda chosen: _add(settings_of(chosen), chosen))

    expect = ways.add_parser("expect", help="mark an anomaly as expected; the baseline follows")
    expect.add_argument("anomaly", help="its id: tidemark incident list, or the check in the UI")
    expect.add_argument("--note", required=True, help="why it is")
    expect.add_argument("--by", help="who says so (default: the account)")
    expect.set_defaults(run=lambda chosen: _expect(settings_of(chosen), chosen))

    listed = ways.add_parser("list", help="incidents, and the newest anomalies nobody explained")
    listed.add_argument("dataset", nargs="?", help="left out: all")
    listed.set_defaults(run=lambda chosen: _list(settings_of(chosen), chosen))

    remove = ways.add_parser("remove", help="forget an incident, or that something was expected")
    remove.add_argument("incident", type=int, help="its number")
    remove.set_defaults(run=lambda chosen: _remove(settings_of(chosen), chosen))
    for way in (add, expect, listed, remove):
        way.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="on the demo's database")
    return incident


def add_drift(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command, which needs neither settings nor a database."""
    drift = commands.add_parser("drift", help="whether the errors of predictions have grown (features: the asset)")
    errors = drift.add_subparsers(required=True, metavar="errors").add_parser(
        "errors", help="of a CSV file of errors, or of predicted and true values; 1 if there is drift"
    )
    errors.add_argument("file", type=Path)
    errors.add_argument("--error", default="error", help="column of the errors (default: error)")
    errors.add_argument("--predicted", help="instead: column of what was predicted")
    errors.add_argument("--actual", help="and column of what came")
    errors.add_argument("--time", help="column to order by (default: the order of the file)")
    errors.set_defaults(run=_errors)


def _add(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.incidents import add_incident as add

    return add(
        settings,
        dataset=chosen.dataset,
        entity=dict(chosen.entity),
        metric=chosen.metric,
        kind=chosen.kind,
        first=chosen.first,
        last=chosen.last,
        note=chosen.note,
        by=chosen.by,
        is_expected=chosen.expected,
    )


def _expect(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.incidents import expect_anomaly

    return expect_anomaly(settings, chosen.anomaly, note=chosen.note, by=chosen.by)


def _list(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.incidents import list_incidents

    return list_incidents(settings, chosen.dataset)


def _remove(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.incidents import remove_incident

    return remove_incident(settings, chosen.incident)


def _errors(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.drift import drift_of_errors

    return drift_of_errors(
        chosen.file, error=chosen.error, predicted=chosen.predicted, actual=chosen.actual, time=chosen.time
    )


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} names no entity; write column=value, e.g. location_id=2178")
    return name, value


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant; write 2024-05-01 or 2024-05-01T12:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
