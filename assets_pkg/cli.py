"""The command `tidemark`.

Belongs here: arguments, exit codes, and which command is meant. Does not belong here: what a command does
(`assets_pkg/commands/`). Commands are imported when they are called, so that `--help` answers at once.
"""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from dotenv import load_dotenv

from assets_pkg.commands.alert_arguments import add_alerts
from assets_pkg.commands.incident_arguments import add_drift, add_incident
from assets_pkg.commands.quality_arguments import add_profile, add_report
from assets_pkg.commands.training_set_arguments import add_training_set
from assets_pkg.commands.validate_arguments import add_validate
from resources.configured_logs import build_log_file, secrets_of
from resources.errors import TidemarkError
from resources.logs.process_logs import SAID, logging_to
from resources.wiring import PROJECT_ROOT, Settings, settings

_log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_WRONG_USE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code: 0 done, 1 failed, 2 wrong arguments, 130 interrupted."""
    chosen = _parser().parse_args(arguments)
    load_dotenv(PROJECT_ROOT / ".env")
    with contextlib.ExitStack() as chosen.exits:
        return _run(chosen)


def _run(chosen: argparse.Namespace) -> int:
    try:
        return int(chosen.run(chosen))
    except TidemarkError as error:
        print(f"tidemark: {error}", file=sys.stderr)
        _log.error("%s", error, exc_info=True, extra={SAID: True})
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("tidemark: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tidemark", description="OpenAQ to clean time series, features and quality reports, by Dagster."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="start database, Dagster's UI and daemon; Ctrl-C stops them")
    up.add_argument("--port", type=int, help="port of the UI on 127.0.0.1 (default: TIDEMARK_PORT or 3000)")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop what `tidemark demo` or `tidemark up` left running")
    down.set_defaults(run=_down)

    demo = commands.add_parser("demo", help="load 60 days of 8 generated locations (or real ones), and show the result")
    demo.add_argument(
        "--locations", type=_ids, default=(), help="real OpenAQ locations from the archive, e.g. 2178,8118"
    )
    demo.add_argument("--days", type=_positive, default=60, help="days to load (default 60)")
    demo.add_argument("--port", type=int, help="port of the UI on 127.0.0.1")
    demo.set_defaults(run=_demo)

    backfill = commands.add_parser("backfill", help="fetch and compute a range of UTC days, in one run")
    backfill.add_argument("dataset", help="openaq, or a dataset of files or of a source, such as delivery")
    backfill.add_argument("--from", dest="first", type=_day, required=True, help="first UTC day, YYYY-MM-DD")
    backfill.add_argument("--to", dest="last", type=_day, required=True, help="last UTC day, included")
    backfill.add_argument("--locations", type=_ids, default=(), help="only these locations of openaq")
    backfill.set_defaults(run=_backfill)

    quarantine = commands.add_parser("quarantine", help="rows, values and files put aside, each with the rule it broke")
    quarantine.set_defaults(run=_quarantine_list)
    views = quarantine.add_subparsers(metavar="list | show")
    counts = views.add_parser("list", help="how many, by table and rule")
    counts.set_defaults(run=_quarantine_list)
    show = views.add_parser("show", help="single rows and values as received, or every line of one file")
    show.add_argument("name", help="a dataset such as sales, or a table such as timeseries.air_quality")
    narrowed = show.add_mutually_exclusive_group()
    narrowed.add_argument("--rule", help="only rules that contain this text")
    narrowed.add_argument("--file", help="what became of every line of this file of the dataset: its name or id")
    show.add_argument("--most", type=_positive, help="rows at most (default 50; with --file all)")
    show.set_defaults(run=_quarantine_show)
    for view in (counts, show):
        # Without a default of its own: that would hide what was said before the view.
        view.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="on the demo's database")

    validate = add_validate(commands, _settings, _day, _positive)

    replay = commands.add_parser(
        "replay", help="read files with something put aside again, under the declaration as it is now"
    )
    replay.add_argument("dataset")
    replay.add_argument("--dry-run", action="store_true", help="say what it would free, and write nothing")
    replay.set_defaults(run=_replay)

    propose = commands.add_parser("propose", help="write the declaration of a dataset nobody declared")
    propose.add_argument("dataset")
    propose.add_argument("--to", type=Path, help="folder of the module (default: schemas/file_datasets)")
    propose.set_defaults(run=_propose)

    feature_sets = commands.add_parser("feature-sets", help="the sets of features worth deploying, as found last")
    feature_sets.set_defaults(run=_feature_sets)
    listed = feature_sets.add_subparsers(metavar="list").add_parser("list", help="name, target, size, value and cost")
    listed.set_defaults(run=_feature_sets)
    listed.add_argument("--demo", action="store_true", default=argparse.SUPPRESS, help="on the demo's database")

    status = commands.add_parser("status", help="what there is, what is owed, what is stale, what runs")
    status.set_defaults(run=_status)

    add_alerts(commands, _settings)

    doctor = commands.add_parser("doctor", help="check dependencies, settings, database, source; say what to do")
    doctor.set_defaults(run=_doctor)

    feast = commands.add_parser(
        "feast", help="Feast's own command line on the feature tables: apply, plan, feature-views list, ui"
    )
    feast.add_argument("arguments", nargs=argparse.REMAINDER, help="what Feast is told, e.g. apply")
    feast.set_defaults(run=_feast)

    serving = commands.add_parser("serve", help="online features over HTTP, read-only, behind a token; Ctrl-C stops it")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    serving.add_argument("--port", type=int, help="port (default: TIDEMARK_SERVING_PORT or 6566)")
    serving.set_defaults(run=_serve)

    training_set = add_training_set(commands, _settings)
    incident = add_incident(commands, _settings)
    add_drift(commands)

    profile, report = add_profile(commands, _settings), add_report(commands, _settings)

    for command in (
        *(up, down, backfill, quarantine, replay, propose, status, doctor),
        *(feast, serving, training_set, feature_sets, validate, profile, report, incident),
    ):
        command.add_argument("--demo", action="store_true", help="on the demo's database and data")
    return parser


def _up(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.up import up

    found = _settings(chosen)
    return up(found, port=chosen.port or found.port)


def _down(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.up import down

    return down(_settings(chosen))


def _demo(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.demo import demo

    return demo(locations=chosen.locations, days=chosen.days, port=chosen.port)


def _backfill(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.backfill import backfill

    return backfill(
        _settings(chosen), dataset=chosen.dataset, first=chosen.first, last=chosen.last, locations=chosen.locations
    )


def _quarantine_list(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.quarantine import list_quarantine

    return list_quarantine(_settings(chosen))


def _quarantine_show(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.file_lines import show_file
    from assets_pkg.commands.quarantine import show_quarantine

    if chosen.file is not None:
        return show_file(_settings(chosen), name=chosen.name, wanted=chosen.file, most=chosen.most)
    return show_quarantine(_settings(chosen), name=chosen.name, rule=chosen.rule, most=chosen.most)


def _replay(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.replay import replay

    return replay(_settings(chosen), dataset_name=chosen.dataset, is_dry=chosen.dry_run)


def _propose(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.propose import propose

    return propose(_settings(chosen), dataset_name=chosen.dataset, folder=chosen.to)


def _feature_sets(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.feature_sets import list_feature_sets

    return list_feature_sets(_settings(chosen))


def _status(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.status import status

    return status(_settings(chosen))


def _doctor(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.doctor import doctor

    return doctor(_settings(chosen))


def _feast(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.feast import feast

    return feast(_settings(chosen), chosen.arguments)


def _serve(chosen: argparse.Namespace) -> int:
    from assets_pkg.commands.serve import serve

    found = _settings(chosen)
    return serve(found, host=chosen.host, port=chosen.port or found.serving_port)


def _settings(chosen: argparse.Namespace) -> Settings:
    """The settings in force, with `--demo` those of the demo that was loaded last; from now on there is a log."""
    if chosen.demo:
        from assets_pkg.commands.demo import demo_environment

        os.environ.update(demo_environment(settings().home))
    found = settings()
    secrets = secrets_of(found)
    chosen.exits.enter_context(logging_to(build_log_file(found), secrets))
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from None


def _ids(text: str) -> tuple[int, ...]:
    try:
        ids = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of location ids such as 2178,8118") from None
    if any(number < 1 for number in ids):
        raise argparse.ArgumentTypeError("location ids are positive")
    return ids


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
