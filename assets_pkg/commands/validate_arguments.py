"""The arguments of `tidemark validate`.

Belongs here: what may be said. Does not belong here: what is done about it (`validate.py`), which is imported when the
command is called.
"""

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path

from resources.wiring import Settings


def add_validate(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    settings: Callable[[argparse.Namespace], Settings],
    day: Callable[[str], date],
    positive: Callable[[str], int],
) -> argparse.ArgumentParser:
    """Adds the command."""
    parser = commands.add_parser(
        "validate", help="judge a file or a table by its rules; 1 where a rule of severity ERROR fails"
    )
    parser.add_argument("what", help="a file, or a table such as timeseries.air_quality")
    parser.add_argument("--dataset", help="of a file: the dataset it belongs to (default: the name of its folder)")
    parser.add_argument("--from", dest="first", type=day, help="of a table: first UTC day (default: its first)")
    parser.add_argument("--to", dest="last", type=day, help="of a table: last UTC day, included (default: today)")
    parser.add_argument(
        "--sample", type=positive, metavar="N", help="judge N rows of a file, or of each day of a table"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the report with every failing row to this file")

    def run(chosen: argparse.Namespace) -> int:
        from assets_pkg.commands.validate import validate_file, validate_table
        from schemas.tables import TABLES

        if chosen.what in TABLES:
            return validate_table(
                settings(chosen),
                spec=TABLES[chosen.what],
                first=chosen.first,
                last=chosen.last,
                sample=chosen.sample,
                report_to=chosen.json,
            )
        return validate_file(
            settings(chosen),
            path=Path(chosen.what),
            dataset_name=chosen.dataset,
            sample=chosen.sample,
            report_to=chosen.json,
        )

    parser.set_defaults(run=run)
    return parser
