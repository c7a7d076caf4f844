"""Which rows break a table's model, and how that is told.

Belongs here: reading Pandera's failure cases. Does not belong here: what happens to such rows.
"""

import pandas as pd
from pandera.errors import SchemaErrors

from schemas.table_spec import TableSpec


def broken_rows(rows: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """Pandera's failure cases of `rows` (columns schema_context, column, check, failure_case, index); empty if none."""
    try:
        spec.model.validate(rows, lazy=True)
    except SchemaErrors as errors:
        failures: pd.DataFrame = errors.failure_cases
        return failures
    return pd.DataFrame(columns=["schema_context", "column", "check", "check_number", "failure_case", "index"])


def summary(failures: pd.DataFrame, most: int = 5) -> str:
    """Failure cases in one sentence: how many per column and check, with one example each."""
    groups = failures.groupby(["column", "check"], dropna=False, sort=False)
    told = [
        f"{column} breaks {check} in {len(cases)} row(s), e.g. {str(cases['failure_case'].iloc[0])[:80]!r}"
        for (column, check), cases in list(groups)[:most]
    ]
    more = len(groups) - len(told)
    return "; ".join(told) + (f"; and {more} more kind(s)" if more > 0 else "")
