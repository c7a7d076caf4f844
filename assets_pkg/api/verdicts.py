"""`GET /api/quality/{schema}.{table}/verdicts?from=&to=` of `tidemark serve`: what the rules said of a table's days.

The verdicts are those the asset checks stored: nothing is judged again for whoever asks.

Belongs here: the question's limits and the answer's form. Does not belong here: statements
(`resources/catalog/rule_results.py`), who may ask (`serving.py`), which rows broke a rule (`tidemark validate --json`).
"""

from datetime import date
from typing import Any

from resources.catalog import rule_results
from resources.timescale.resource import TimescaleResource
from schemas.rules import Severity
from schemas.window import Window

MOST_DAYS = 366
TOLD = ("rule", "kind", "severity", "outcome", "passed", "checked", "failed", "message")
"""Of each rule, as in the JSON report of `tidemark validate`."""


def verdicts(timescale: TimescaleResource, table: str, first: date, last: date) -> dict[str, Any]:
    """The newest verdicts on the UTC days `first` to `last`, both included; days never judged are absent.

    Raises:
        ValueError: the days end before they begin, or are too many.
        DatabaseUnavailable: the catalog cannot be read.
    """
    if not 0 <= (last - first).days < MOST_DAYS:
        raise ValueError(f"ask for 1 to {MOST_DAYS} days: from {first} to {last} are {(last - first).days + 1}")
    with timescale.connect() as connection:
        found = rule_results.results_of(connection, table, Window.of_days(first, last))
    days = []
    for day, of_day in found.groupby("day", sort=True):
        is_held = of_day["severity"].eq(Severity.ERROR.value) & ~of_day["passed"].astype(bool)
        days.append(
            {
                "day": str(day),
                "is_blocking": bool(is_held.any()),
                "judged_at": of_day["judged_at"].max().isoformat(),
                "run_id": str(of_day["run_id"].iloc[-1]),
                "rules": of_day[list(TOLD)].astype(object).to_dict("records"),
            }
        )
    return {"what": table, "is_blocking": any(one["is_blocking"] for one in days), "days": days}
