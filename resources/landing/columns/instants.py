"""Instants as files write them, as SQL over a cell.

Belongs here: which texts are an instant in a convention, which instant, and why not. Does not belong here: choosing a
convention. The session's time zone must be UTC (`open_database` sees to that).
"""

from resources.landing.columns.kinds import Convention
from resources.landing.columns.numbers import PLAIN_INTEGER
from resources.landing.columns.sql_text import let, literal

MONTHS = (
    "(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
BETWEEN = r"(?:[-./]|\.?,?\s+)"
DAY = r"(\d{1,2})"
MONTH = rf"(\d{{1,2}}|{MONTHS})"
YEAR = r"(\d{4})"
DATES = {
    "YMD": (rf"{YEAR}[-./]{MONTH}[-./]{DAY}", ("y", "m", "d")),
    "DMY": (rf"{WEEKDAY}{DAY}{BETWEEN}{MONTH}{BETWEEN}{YEAR}", ("d", "m", "y")),
    "MDY": (rf"{WEEKDAY}{MONTH}{BETWEEN}{DAY}{BETWEEN}{YEAR}", ("m", "d", "y")),
}
OFFSET = r"[+-](?:0\d|1[0-4])(?::?[0-5]\d)?"
ZONE_NAME = r"[A-Z][A-Za-z]+/[A-Za-z_/-]+"
TIME = (
    r"(?:(?:[Tt]|,?\s+)(\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)\s*(?:([AaPp])\.?[Mm]\.?)?"
    rf"\s*(Z|z|UTC|GMT|{OFFSET}|{ZONE_NAME})?(?:\[[A-Za-z_/-]+\])?)?"
)
"""Time of day, half of the day, and zone; a zone's name in brackets only repeats the offset before it."""

ISO_DATE = r"\d{4}-\d{2}-\d{2}"
ISO_LOCAL = rf"{ISO_DATE}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,9}})?)?)?"
ISO_ZONED = rf"{ISO_DATE}[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,9}})?)?(?:Z|{OFFSET})"
"""What DuckDB's own cast reads as it stands."""
ENDS_IN_ZONE = rf"(?:[Zz]|UTC|GMT|:\d\d[^-]*{OFFSET}|T\d{{6}}{OFFSET}|/[A-Za-z_/-]+|\])\s*$"
ISO_BASIC = r"^\s*(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})"

FIRST_US = -9_214_560_000_000_000
"""1678-01-01T00:00:00Z, the first year that nanoseconds in 64 bits hold whole, as several consumers keep them."""
END_US = 9_214_646_400_000_000
"""2262-01-01T00:00:00Z, excluded."""
EPOCH_US = (631_152_000_000_000, 4_102_444_800_000_000)
"""1990-01-01 to 2100-01-01 UTC: what a count of s, ms, us or ns must lie in; no count lies in two of these."""
UNIT_US = {"s": "{} * 1000000", "ms": "{} * 1000", "us": "{}", "ns": "{} // 1000"}
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

LEAP = r"(:\d{2}):60(?:[.,]\d*)?$"
LEAP_CELL = ":60"
"""What every cell with a leap second contains."""


def instant(cell: str, convention: Convention) -> str:
    """SQL of the TIMESTAMPTZ a cell says; NULL if it says none."""
    if convention.epoch_unit:
        return f"make_timestamptz({_epoch_us(cell, convention.epoch_unit)})"
    zone = convention.timezone or "UTC"
    written = _written(cell, convention, "us")
    if convention.date_order not in (None, "YMD"):
        return f"make_timestamptz({written})"
    fast = f"CASE WHEN regexp_full_match({cell}, {literal(ISO_ZONED)}) THEN TRY_CAST({cell} AS TIMESTAMPTZ) END"
    if convention.zoned:
        plain = f"epoch_us({fast})"
    else:
        local = f"CASE WHEN regexp_full_match({cell}, {literal(ISO_LOCAL)}) THEN TRY_CAST({cell} AS TIMESTAMP) END"
        plain = f"epoch_us({local})"
        if zone != "UTC":
            plain = let("l", plain, _at_zone("l", literal(zone), f"NOT contains({cell}, ':')"))
        plain = f"coalesce({plain}, epoch_us({fast}))"
    return let("u", f"coalesce({plain}, {written})", f"CASE WHEN {_in_range('u')} THEN make_timestamptz(u) END")


def why_not(cell: str, convention: Convention) -> str:
    """SQL of the rule that a cell breaks which `instant` makes NULL."""
    if convention.epoch_unit:
        return literal(f"not a count of {convention.epoch_unit} within 1990 to 2100")
    return f"coalesce({_written(cell, convention, 'rule')}, 'not a timestamp')"


def has_zone(cell: str) -> str:
    """SQL of whether a cell that holds an instant says its own zone or offset."""
    return f"regexp_matches({cell}, {literal(ENDS_IN_ZONE)})"


def _epoch_us(cell: str, unit: str) -> str:
    first, end = (bound // 1_000_000 * PER_SECOND[unit] for bound in EPOCH_US)
    count = f"CASE WHEN regexp_full_match({cell}, {literal(PLAIN_INTEGER)}) THEN TRY_CAST({cell} AS BIGINT) END"
    return let("n", count, f"CASE WHEN n >= {first} AND n < {end} THEN {UNIT_US[unit].format('n')} END")


def _written(cell: str, convention: Convention, result: str) -> str:
    """SQL of the instant in us (`us`), or of the rule that is broken (`rule`), of a cell in any form of the order."""
    order = convention.date_order or "YMD"
    if order == "YMD":
        extended = f"regexp_replace({cell}, {literal(ISO_BASIC)}, '\\1-\\2-\\3T\\4:\\5:\\6')"
        cell = f"CASE WHEN regexp_matches({cell}, {literal(ISO_BASIC)}) THEN {extended} ELSE {cell} END"
    pattern, names = DATES[order]
    pattern = rf"^\s*{pattern}{TIME}\s*$"
    parts = f"regexp_extract({cell}, {literal(pattern)}, {[*names, 't', 'half', 'zone']})"
    month = (
        "CASE WHEN regexp_matches(p.m, '^[0-9]') THEN p.m"
        " ELSE ((position(lower(p.m[:3]) IN 'janfebmaraprmayjunjulaugsepoctnovdec') + 2) // 3)::VARCHAR END"
    )
    time = f"CASE WHEN p.t = '' THEN '00:00' ELSE regexp_replace(replace(p.t, ',', '.'), {literal(LEAP)}, '\\1:59') END"
    local = let(
        "h",
        f"TRY_CAST(concat(p.y, '-', {month}, '-', p.d, ' ', {time}) AS TIMESTAMP)",
        "CASE WHEN p.half = '' THEN epoch_us(h) WHEN hour(h) BETWEEN 1 AND 12 THEN epoch_us(h)"
        " - CASE WHEN hour(h) = 12 THEN 43200000000 ELSE 0 END"
        " + CASE WHEN lower(p.half) = 'p' THEN 43200000000 ELSE 0 END END",
    )
    whole_day = "p.t = ''"
    named = "TRY_CAST('2000-01-01 00:00:00 ' || p.zone AS TIMESTAMPTZ) IS NOT NULL"
    offset = "epoch_us(TRY_CAST('1970-01-01 00:00:00' || upper(p.zone) AS TIMESTAMPTZ))"
    own_zone = literal(convention.timezone or "UTC")
    without_zone = "NULL" if convention.zoned else _at_zone("l", own_zone, whole_day)
    by_zone = (
        f"CASE WHEN p.zone = '' THEN {without_zone} WHEN p.zone IN ('UTC', 'GMT') THEN l"
        f" WHEN contains(p.zone, '/') THEN CASE WHEN {named} THEN {_at_zone('l', 'p.zone', whole_day)} END"
        f" ELSE l + {offset} END"
    )
    leap = f"regexp_matches(p.t, {literal(LEAP)})"
    if result == "us":
        at_end_of_day = "i % 86400000000 IN (86399000000, -1000000)"
        found = (
            f"CASE WHEN NOT ({_in_range('i')}) THEN NULL WHEN NOT {leap} THEN i"
            f" WHEN {at_end_of_day} THEN i + 999999 END"
        )
        return let("p", parts, f"CASE WHEN p.y <> '' THEN {let('l', local, let('i', by_zone, found))} END")
    why_local = (
        f"CASE WHEN p.zone = '' THEN {'NULL' if convention.zoned else _why_no_instant('l', own_zone)}"
        f" WHEN contains(p.zone, '/') THEN CASE WHEN {named} THEN {_why_no_instant('l', 'p.zone')}"
        " ELSE 'unknown time zone' END END"
    )
    rule = (
        f"CASE WHEN l IS NULL THEN 'not a timestamp' WHEN NOT ({_in_range('l')}) THEN 'year outside 1678 to 2261'"
        + (" WHEN p.zone = '' THEN 'no time zone'" if convention.zoned else "")
        + f" WHEN ({by_zone}) IS NULL THEN coalesce({why_local}, 'not a timestamp')"
        f" WHEN {leap} THEN 'no leap second at this time' ELSE 'year outside 1678 to 2261' END"
    )
    return let("p", parts, f"CASE WHEN p.y <> '' THEN {let('l', local, rule)} END")


def _in_range(us: str) -> str:
    return f"{us} >= {FIRST_US} AND {us} < {END_US}"


def _at_zone(local: str, zone: str, whole_day: str) -> str:
    """SQL of the instant in us of a local time in us; NULL where the clocks skip it or show it twice.

    The offsets before and after are those one and a half days away: nearer ones may be on the other side of a change.
    A whole day begins with its first instant.
    """
    if zone == literal("UTC"):
        return local
    same = f"CASE WHEN {whole_day} THEN {local} - o.b ELSE NULL END"
    chosen = (
        f"CASE WHEN o.b = o.a THEN {local} - o.b"
        f" WHEN ({_shows(local, zone, 'o.b')}) = ({_shows(local, zone, 'o.a')}) THEN {same}"
        f" WHEN {_shows(local, zone, 'o.b')} THEN {local} - o.b ELSE {local} - o.a END"
    )
    return let("o", _offsets(local, zone), chosen)


def _why_no_instant(local: str, zone: str) -> str:
    both = f"({_shows(local, zone, 'o.b')}) AND ({_shows(local, zone, 'o.a')})"
    rule = f"CASE WHEN {both} THEN 'ambiguous local time' ELSE 'nonexistent local time' END"
    return let("o", _offsets(local, zone), rule)


def _offsets(local: str, zone: str) -> str:
    """The zone's offsets from UTC in us before (`b`) and after (`a`) a local time."""
    before, after = (
        f"epoch_us(timezone({zone}, make_timestamptz({moment}))) - ({moment})"
        for moment in (f"{local} - 129600000000", f"{local} + 129600000000")
    )
    return f"{{'b': {before}, 'a': {after}}}"


def _shows(local: str, zone: str, offset: str) -> str:
    """Whether the zone's clocks show the local time at the instant that the offset makes of it."""
    return f"epoch_us(timezone({zone}, make_timestamptz({local} - {offset}))) = {local}"
