"""How long one look of `/metrics` takes, by the size of the catalog.

    python -m benchmarks.scrape [--entries 100000 1000000]

Runs on an embedded PostgreSQL of its own. Belongs here: filling the catalog and timing. Does not belong here: the
figures (`resources/catalog/figures.py`).
"""

import argparse
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path

import sqlalchemy as sa

from assets_pkg.api.metrics import Metrics
from resources.catalog.schema import CatalogedTimescale
from resources.timescale import server
from schemas.catalog import LEDGER
from schemas.catalog_profiles import COLUMN_PROFILES
from schemas.catalog_rules import RULE_RESULTS
from schemas.tables import SERVED, TABLES

LOOKS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 1_000_000])
    asked = parser.parse_args()
    print("| entries of the ledger | verdicts | profiles | seconds a look, median | bytes | series |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="tidemark-scrape-") as folder:
        Path(folder).chmod(0o755)
        with server.lease(Path(folder) / "state") as leased:
            for entries in asked.entries:
                server.ensure_databases(leased, [f"scrape_{entries}"])
                timescale = CatalogedTimescale(database_url=leased.url(f"scrape_{entries}"))
                counts = _fill(timescale, entries)
                took, text = [], b""
                for _ in range(LOOKS):
                    began = time.monotonic()
                    text = Metrics(timescale, {}).exposition()
                    took.append(time.monotonic() - began)
                series = sum(not line.startswith(b"#") for line in text.splitlines())
                print(f"| {counts} | {statistics.median(took):.3f} | {len(text):,} | {series:,} |")


def _fill(timescale: CatalogedTimescale, entries: int) -> str:
    """Entries, verdicts and profiles over all declared tables, as days, locations and columns would make them."""
    with timescale.connect() as connection:
        for name in sorted(TABLES):
            share = sa.func.generate_series(1, entries // len(TABLES)).table_valued("n").render_derived()
            day = sa.literal(date(2024, 1, 1)) + share.c.n % 700
            unit = sa.cast(share.c.n / 700, sa.Text)
            row = [sa.literal(name), day, unit, sa.literal("r"), sa.literal(10), sa.literal(10), sa.func.now()]
            columns = ["table_name", "day", "unit", "run_id", "read", "loaded", "known_at"]
            connection.execute(sa.insert(LEDGER).from_select(columns, sa.select(*row).select_from(share)))
            rules = sa.func.generate_series(1, 700 * 10).table_valued("n").render_derived()
            verdict = {
                "table_name": sa.literal(name),
                "day": sa.literal(date(2024, 1, 1)) + rules.c.n % 700,
                "rule": sa.cast(rules.c.n / 700, sa.Text),
                "kind": sa.literal("range"),
                "severity": sa.literal("warning"),
                "outcome": sa.literal("passed"),
                "passed": sa.true(),
                "checked": sa.literal(1),
                "failed": sa.literal(0),
                "message": sa.literal(""),
                "run_id": sa.literal("r"),
            }
            told = sa.select(*verdict.values()).select_from(rules)
            connection.execute(sa.insert(RULE_RESULTS).from_select(list(verdict), told))
        profiles = 0
        for spec in SERVED.values():
            for position, feature in enumerate(spec.features):
                days = sa.func.generate_series(0, 99).table_valued("n").render_derived()
                profile = {
                    "table_name": sa.literal(spec.qualified),
                    "day": sa.literal(date(2025, 1, 1)) + days.c.n,
                    "column_name": sa.literal(feature),
                    "position": sa.literal(position),
                    "kind": sa.literal("number"),
                    "rows": sa.literal(24),
                    "mean": sa.literal(1.0),
                    "std": sa.literal(1.0),
                    "common": sa.cast("[]", COLUMN_PROFILES.c.common.type),
                }
                told = sa.select(*profile.values()).select_from(days)
                connection.execute(sa.insert(COLUMN_PROFILES).from_select(list(profile), told))
                profiles += 100
    return f"{entries:,} | {700 * 10 * len(TABLES):,} | {profiles:,}"


if __name__ == "__main__":
    main()
