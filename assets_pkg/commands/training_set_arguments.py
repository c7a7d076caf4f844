"""The arguments of `tidemark training-set`.

Belongs here: what can be said, and how its text is read. Does not belong here: what is done then (`training_set.py`,
which is imported when it is: it brings the database along).
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from resources.wiring import Settings


def add_training_set(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    settings_of: Callable[[argparse.Namespace], Settings],
) -> argparse.ArgumentParser:
    """Adds the command; `settings_of` says which settings are in force under the arguments."""
    training_set = commands.add_parser("training-set", help="features as of given moments, to Parquet; again later")
    ways = training_set.add_subparsers(required=True, metavar="build | rebuild")

    build = ways.add_parser("build", help="make one, with the recipe to make it again beside it")
    build.add_argument("name")
    build.add_argument("--features", type=_list, default=(), help="view:feature,...; view:* for all of a view")
    build.add_argument("--feature-set", help="a set of features/feature_sets")
    build.add_argument("--entities", type=Path, help=".parquet or .csv with the views' keys and event_timestamp")
    build.add_argument("--every", type=_length, help="instead: all entities of the first view, every 24h")
    build.add_argument(
        "--from", dest="first", type=_instant, help="first moment, ISO 8601; UTC unless it says otherwise"
    )
    build.add_argument("--to", dest="last", type=_instant, help="last moment, included")
    build.add_argument("--as-of", type=_instant, help="only what was known then (default: now)")
    build.add_argument(
        "--label", type=_label, action="append", default=[], help="view:column@+24h: its value that much later"
    )
    build.add_argument("--missing", choices=["impute", "drop", "zero", "keep"], default="keep")
    build.add_argument("--normalize", action="store_true", help="scale numbers to 0-1")
    build.add_argument("--allow-stale", action="store_true", help="also while days still have to be computed")
    build.add_argument("--out", type=Path, required=True, help="the Parquet file")
    build.set_defaults(run=lambda chosen: _build(settings_of(chosen), chosen))

    rebuild = ways.add_parser("rebuild", help="make one again; 1 and what differs, unless it is identical")
    rebuild.add_argument("recipe", help="the recipe's .json, or the id of the training set")
    rebuild.add_argument("--out", type=Path, help="write it, too")
    rebuild.set_defaults(run=lambda chosen: _rebuild(settings_of(chosen), chosen))
    for way in (build, rebuild):
        way.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="on the demo's database")
    return training_set


def _build(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.training_set import Wanted, build_training_set

    wanted = Wanted(
        name=chosen.name,
        out=chosen.out,
        features=chosen.features,
        feature_set=chosen.feature_set,
        entities=chosen.entities,
        every=chosen.every,
        first=chosen.first,
        last=chosen.last,
        as_of=chosen.as_of,
        labels=tuple(chosen.label),
        missing=chosen.missing,
        normalize=chosen.normalize,
        allow_stale=chosen.allow_stale,
    )
    return build_training_set(settings, wanted)


def _rebuild(settings: Settings, chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.training_set import rebuild_training_set

    return rebuild_training_set(settings, chosen.recipe, chosen.out)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant; write 2024-05-01 or 2024-05-01T12:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _length(text: str) -> timedelta:
    units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
    if text[-1:] not in units or not text[:-1].isdigit() or int(text[:-1]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time such as 24h, 7d or 90m")
    return timedelta(**{units[text[-1]]: int(text[:-1])})


def _label(text: str) -> tuple[str, timedelta]:
    column, separator, ahead = text.partition("@+")
    if not separator or ":" not in column:
        raise argparse.ArgumentTypeError(f"{text!r} is no label; write view:column@+24h")
    return column, _length(ahead)
