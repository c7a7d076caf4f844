"""What makes a file refused as a whole once it has been read, whatever its single rows are.

Belongs here: verdicts on a file that is read and typed, each with its rule and what to do. Does not belong here: what
no reader takes (`readers/`), columns that are missing (`planning.py`), single rows and cells (`columns/`).
"""

from resources.errors import RejectedFile
from resources.landing.limits import Limits
from resources.landing.text_table import REJECTS, ROWS, TextTable
from schemas.file_dataset import FROZEN_SCHEMA, OWN_COLUMNS, FileDataset, Mode
from schemas.table_spec import TableSpec

HEADER_WITHIN = 1_000
"""First rows among which a line of column names is looked for, where no header was found."""


def require_no_header_among_rows(table: TextTable, dataset: FileDataset) -> None:
    """Without a header columns go by their place: not where a row holds their names."""
    if table.header is not None:
        return
    names = {name.lower() for name in dataset.data_columns for name in (name, *dataset.arrival(name).aliases)}
    query = f"SELECT line_no, {', '.join(table.columns)} FROM {ROWS} ORDER BY line_no LIMIT {HEADER_WITHIN}"
    for line_no, *cells in table.connection.execute(query).fetchall():
        if 2 * sum((cell or "").strip().lower() in names for cell in cells) > len(cells):
            raise RejectedFile(
                "unclear_header",
                f"line {line_no} holds names of columns, but is not the only such line or does not stand above the "
                "rows: keep one header, before the first row",
            )


def require_columns(spec: TableSpec, limits: Limits) -> None:
    """The columns of all files of a dataset nobody declared are those of one table."""
    if (columns := len(spec.columns) - len(OWN_COLUMNS)) > limits.columns:
        raise RejectedFile(
            "too_many_columns",
            f"with this file {spec.qualified} would have {columns:,} columns, {limits.columns:,} are allowed: drop "
            "files of another kind into a folder of their own",
        )


def require_whole(table: TextTable, dataset: FileDataset | None, rejected: int) -> None:
    """A frozen dataset takes a file whole or not at all."""
    if dataset is None or dataset.mode is not Mode.FREEZE or not rejected:
        return
    raise RejectedFile(
        FROZEN_SCHEMA,
        f"{dataset.name} is frozen and {rejected} line(s) do not fit, {_rejects_told(table)}: mend them and drop it "
        "again",
    )


def require_rows(table: TextTable, dataset: FileDataset | None, rows: int, rejected: int) -> None:
    """What was put aside is not loaded, so it does not count."""
    if dataset is None or rows >= dataset.min_rows:
        return
    told = f", {_rejects_told(table)}" if rejected else ""
    raise RejectedFile(
        "too_few_rows",
        f"of {rows + rejected:,} line(s) read {rejected:,} are put aside and {rows:,} left, {dataset.name} wants at "
        f"least {dataset.min_rows:,}{told}: complete the file{' or mend it' if rejected else ''}, and drop it again",
    )


def _rejects_told(table: TextTable) -> str:
    """The first lines that were put aside, each with its reason."""
    query = f"SELECT line_no, rule, reason FROM {REJECTS} ORDER BY line_no LIMIT 3"
    rows = table.connection.execute(query).fetchall()
    return "; ".join(f"line {line}: {rule} ({reason})" for line, rule, reason in rows)
