"""Parsing one file of the OpenAQ archive: bytes in, rows and rejects out.

Belongs here: strict gzip, and putting lines and values together. Does not belong here: where bytes come from, windows.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from resources.errors import CorruptSource
from resources.openaq import archive_lines, archive_values
from resources.openaq.fetched import ROW_COLUMNS, Reject, no_rows
from resources.timescale.arrow import from_arrow
from schemas.staging import OpenaqMeasurements

LARGEST_FILE = 64 * 2**20
"""Bytes of a file as received. A day of one location has a few thousand bytes."""

LARGEST_CONTENT = 256 * 2**20
"""Bytes of a file unzipped."""

LARGEST_RATIO = 200
"""Unzipped to zipped, beyond `FREE_CONTENT` bytes; measurements reach about 30."""

FREE_CONTENT = 16 * 2**20

MOST_MEMBERS = 100
"""Gzip members a file may consist of; OpenAQ writes one."""

_STEP = 2**20


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What one file holds. `rows_read` counts records as they are cut from the file, before their values are looked at;
    header and empty lines are none."""

    table: pa.Table
    """`ROW_COLUMNS`, in file order; `to_frame` makes the DataFrame."""
    rejects: tuple[Reject, ...]
    rows_read: int
    offsets: tuple[timedelta, timedelta] | None
    """Smallest and largest offset of local time from UTC among the rows; None without rows."""

    @property
    def rows(self) -> pd.DataFrame:
        """The rows with the staging model's dtypes, in the shape of `Fetched.rows`."""
        return to_frame([self.table])


def parse(data: bytes, *, source_id: int, location_id: int, local_day: date) -> Parsed:
    """Read one `.csv.gz` of `location_id` about its local calendar day `local_day`.

    A line that is no row becomes a reject with its physical line number (the header is line 1); no line is shifted,
    padded or dropped. Its day is the UTC day of its own stamp if that can be read and belongs into the file, else
    `local_day`.

    Raises:
        CorruptSource: the gzip is cut, followed by junk, none, or too large; or the header lacks a column. Nothing is
            returned then, whatever could have been read before the flaw.
    """
    lines = archive_lines.split(gunzip(data))
    values = archive_values.read(lines, location_id=location_id, local_day=local_day)
    rejects = [
        Reject(day=local_day, rule=rule, reason=reason, raw=raw, source_id=source_id, line_no=line_no)
        for line_no, rule, reason, raw in lines.bad
    ] + [
        Reject(
            day=day or local_day,
            rule=rule,
            reason=reason,
            raw=lines.raw(line_no),
            source_id=source_id,
            line_no=line_no,
        )
        for line_no, rule, reason, day in values.bad
    ]
    count = len(values.rows)
    table = values.rows.append_column("source_id", pa.repeat(pa.scalar(source_id, pa.int64()), count))
    offsets = pc.min_max(values.offsets).as_py()
    return Parsed(
        table=table.select(ROW_COLUMNS),
        rejects=tuple(sorted(rejects, key=lambda reject: reject.line_no)),
        rows_read=lines.records,
        offsets=(timedelta(microseconds=offsets["min"]), timedelta(microseconds=offsets["max"])) if count else None,
    )


def gunzip(data: bytes) -> bytes:
    """The content of a complete gzip file (of one or several members), with bounded memory.

    Raises:
        CorruptSource: not gzip, cut short, wrong checksum, junk behind the end, or larger than `LARGEST_CONTENT` or
            than `LARGEST_RATIO` times its size.
    """
    if len(data) > LARGEST_FILE:
        raise CorruptSource(f"{len(data)} bytes are more than an archive file may have ({LARGEST_FILE})")
    largest = min(LARGEST_CONTENT, max(FREE_CONTENT, LARGEST_RATIO * len(data)))
    content, rest = bytearray(), data
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            while not member.eof and rest:
                content += member.decompress(rest, _STEP)
                rest = member.unconsumed_tail if not member.eof else member.unused_data
                if len(content) > largest:
                    raise CorruptSource(f"{len(data)} bytes unzip to more than {largest}: refused as a gzip bomb")
        except zlib.error as error:
            what = (
                f"junk behind the end of the gzip data at byte {len(data) - len(rest)}" if content else "no gzip data"
            )
            raise CorruptSource(f"{what} ({error}); fetch the file again") from error
        if not member.eof:
            raise CorruptSource(f"the gzip data is cut off after {len(data)} bytes; fetch the file again")
        if not rest:
            return bytes(content)
    raise CorruptSource(f"more than {MOST_MEMBERS} gzip members in one file")


def to_frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """The rows of several `Parsed.table` in order, as one frame in the shape of `Fetched.rows`."""
    if not tables:
        return no_rows()
    return from_arrow(pa.concat_tables(tables).select(ROW_COLUMNS), OpenaqMeasurements)
