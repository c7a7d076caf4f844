"""What the declaration of a dataset may fix about its files, so that nobody has to find it out.

Belongs here: the hints every reader takes. Does not belong here: finding out what they leave open (each reader).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Hints:
    """None means: find out."""

    encoding: str | None = None
    """A codec Python knows, e.g. `utf-8` or `cp1252`."""
    delimiter: str | None = None
    """What stands between two cells, one character or more."""
    quote: str | None = None
    """The quote character; '' means that no cell is quoted."""
    escape: str | None = None
    """What stands before a quote inside a quoted cell; the quote itself means that it is doubled."""
    has_header: bool | None = None
    header_lines: int | None = None
    """How many records the header has; 0 means none."""
    skip_lines: int | None = None
    """Physical lines before the header (or, without a header, before the first row)."""
    decimal: str | None = None
    """`.` or `,`; the readers leave numbers as they are written, the types look at it."""
    sheet: str | None = None
    """Name of the sheet of a workbook."""
    records_path: tuple[str, ...] | None = None
    """Keys from the top of a JSON document down to its list of records."""
