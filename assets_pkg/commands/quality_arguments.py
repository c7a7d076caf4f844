"""The arguments of `tidemark profile` and `tidemark report`.

Belongs here: what can be said. Does not belong here: what is done then (`profile.py`, `report.py`, which are imported
when they are called).
"""

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path

from resources.wiring import Settings

SettingsOf = Callable[[argparse.Namespace], Settings]
Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_profile(commands: Commands, settings_of: SettingsOf) -> argparse.ArgumentParser:
    """Adds `profile`; `settings_of` says which settings are in force under the arguments."""
    profile = commands.add_parser("profile", help="what a table's columns held on a day, or what changed between two")
    views = profile.add_subparsers(required=True, metavar="show | diff")
    show = views.add_parser("show", help="per column: nulls, distinct, extremes, quantiles, most common values")
    show.add_argument("table", help="schema.table, or the last part of it")
    show.add_argument("--day", type=_day, required=True, help="UTC day, YYYY-MM-DD")
    show.set_defaults(run=lambda chosen: _show(settings_of(chosen), chosen))
    diff = views.add_parser("diff", help="what changed between two days, the largest change first")
    diff.add_argument("table", help="schema.table, or the last part of it")
    diff.add_argument("days", nargs=2, type=_day, metavar="DAY", help="two UTC days, YYYY-MM-DD")
    diff.set_defaults(run=lambda chosen: _diff(settings_of(chosen), chosen))
    for view in (show, diff):
        view.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="on the demo's database")
    return profile


def add_report(commands: Commands, settings_of: SettingsOf) -> argparse.ArgumentParser:
    """Adds `report`; `settings_of` as above."""
    report = commands.add_parser("report", help="the quality of a dataset over a range of days, as one HTML file")
    report.add_argument("dataset")
    report.add_argument("--from", dest="first", type=_day, required=True, help="first UTC day, YYYY-MM-DD")
    report.add_argument("--to", dest="last", type=_day, required=True, help="last UTC day, included")
    report.add_argument("--out", type=Path, required=True, help="the HTML file")
    report.set_defaults(run=lambda chosen: _report(settings_of(chosen), chosen))
    return report


def _show(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.profile import show_profile

    return show_profile(settings, table=chosen.table, day=chosen.day)


def _diff(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.profile import diff_profiles

    return diff_profiles(settings, table=chosen.table, days=tuple(chosen.days))


def _report(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.report import write_report

    return write_report(settings, dataset=chosen.dataset, first=chosen.first, last=chosen.last, out=chosen.out)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from None
