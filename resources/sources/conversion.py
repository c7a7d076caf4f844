"""Single values as sources give them -> the types of table models, exactly or not at all.

Belongs here: what each type takes, and why it does not take a value. Does not belong here: which column has which type
and what happens to a row that does not fit (`row_contract.py`).

Nothing is rounded, cut, guessed or replaced: `12.7` is no whole number, `1e400` no number, `03/04/2026` no instant.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types as kinds

INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?)?", re.ASCII
)
PLAIN_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?=(?:Z|\+00(?::?00)?)?\Z)", re.ASCII)
"""As databases and most APIs spell UTC."""
WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
TRUTHS: Mapping[object, bool] = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
BITS: Mapping[object, bool] = {b"\0": False, b"\1": True}
FIRST, END = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""What nanoseconds in 64 bits hold whole, as several consumers keep instants; files have the same bounds."""
FIRST_STAMP, END_STAMP = (np.datetime64(at.replace(tzinfo=None), "us") for at in (FIRST, END))
INT64 = range(-(2**63), 2**63)


class Unfit(Exception):
    """A value that the type cannot hold; the message says why and holds no more than its first characters."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """One column."""

    values: Any
    """Of the wanted dtype; missing, or the type's zero, where the value is missing or does not fit."""
    missing: np.ndarray
    """Whether there is no value."""
    unfit: Mapping[int, str]
    """Position -> why the value there does not fit."""


def convert(values: Sequence[object], dtype: Any) -> Converted:
    """`values` as `dtype` (text, instant in UTC, float, whole number or boolean).

    Missing are None, NaN and pandas' own marks. Instants are kept to the microsecond, as files' are.
    """
    target = _target(dtype)
    if target.take is instant and (quick := _plain_instants(values, dtype)) is not None:
        return quick
    take = target.take
    out: list[object] = []
    missing = np.zeros(len(values), dtype=bool)
    unfit: dict[int, str] = {}
    for position, value in enumerate(values):
        if is_missing(value):
            missing[position] = True
            out.append(target.nothing)
            continue
        try:
            out.append(take(value))
        except Unfit as error:
            unfit[position] = str(error)
            out.append(target.nothing)
    return Converted(values=_array(out, dtype, target), missing=missing, unfit=unfit)


def is_missing(value: object) -> bool:
    """Whether `value` is none: None, NaN, NaT or NA."""
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def text(value: object) -> str:
    """Text as it is; numbers as written; objects, lists and bytes as JSON and UTF-8."""
    if not isinstance(value, str):
        value = _as_text(value)
    if "\0" in value:
        raise Unfit("it holds a NUL character, which the database cannot store")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Unfit("it holds half a character (a lone surrogate)") from None
    return value


def instant(value: object) -> datetime:
    """ISO 8601 text, datetimes and dates; without an offset they are UTC, a date is its midnight."""
    if isinstance(value, datetime):
        at = value
    elif isinstance(value, date):
        at = datetime(value.year, value.month, value.day)
    elif isinstance(value, str) and (parts := INSTANT.fullmatch(value.strip())):
        day, minute, second, fraction, zone = parts.groups()
        digits = f".{fraction[:6]:0<6}" if fraction else ""
        try:
            at = datetime.fromisoformat(f"{day}T{minute or '00:00'}{second or ':00'}{digits}{zone or ''}")
        except ValueError as error:
            raise Unfit(f"{_shown(value)} is no instant there is ({error})") from None
    else:
        raise Unfit(f"{_shown(value)} is no instant (ISO 8601)")
    try:
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        at = END
    if not FIRST <= at < END:
        raise Unfit(f"{_shown(value)} lies outside the years 1678 to 2261")
    return at


def number(value: object) -> float:
    """Whatever a 64-bit float is the same number as: a decimal must be among those it prints as."""
    if type(value) is float:
        if not isfinite(value):
            raise Unfit(f"{value} is no finite number")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Unfit(f"{_shown(value)} is no number")
    exact = _decimal(value)
    nearest = float(exact)
    if not isfinite(nearest):
        raise Unfit(f"{_shown(value)} is more than a float holds")
    if exact != Decimal(repr(nearest)) and exact != Decimal(format(nearest, ".17g")):
        raise Unfit(f"{_shown(value)} has more digits than a float holds")
    return nearest


def whole(value: object) -> int:
    """Whole numbers of 64 bits, however they are written: `12`, `12.0`, `1.2e1`."""
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise Unfit(f"{_shown(value)} is no number")
        if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
            value = int(value)
        else:
            exact = _decimal(value)
            # Looked at before it is spelled out: 1e9999 has ten thousand digits.
            if exact and exact.adjusted() > 19:
                raise Unfit(f"{_shown(value)} is more than 64 bits hold")
            if exact != exact.to_integral_value():
                raise Unfit(f"{_shown(value)} is no whole number")
            value = int(exact)
    if value not in INT64:
        raise Unfit(f"{_shown(value)} is more than 64 bits hold")
    return int(value)


def truth(value: object) -> bool:
    """true and false, in words or as 1 and 0."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and (found := TRUTHS.get(value.strip().lower())) is not None:
        return found
    if isinstance(value, bytes) and (bit := BITS.get(value)) is not None:
        return bit
    raise Unfit(f"{_shown(value)} is neither true nor false")


@dataclass(frozen=True)
class _Target:
    take: Callable[[object], object]
    nothing: object


def _target(dtype: Any) -> _Target:
    if isinstance(dtype, pd.StringDtype):
        return _Target(text, None)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _Target(instant, None)
    if kinds.is_bool_dtype(dtype):
        return _Target(truth, None if isinstance(dtype, pd.BooleanDtype) else False)
    if kinds.is_integer_dtype(dtype):
        return _Target(whole, None if isinstance(dtype, pd.Int64Dtype) else 0)
    if kinds.is_float_dtype(dtype):
        return _Target(number, np.nan)
    raise TypeError(f"no value is converted to {dtype}")


def _plain_instants(values: Sequence[object], dtype: Any) -> Converted | None:
    """What `convert` gives, a few times faster; None unless every value is missing or plainly spelled."""
    texts: list[str | None] = []
    for value in values:
        if value is None:
            texts.append(None)
        elif isinstance(value, str) and (found := PLAIN_INSTANT.match(value)):
            texts.append(found[0])
        else:
            return None
    try:
        stamps = np.array(texts, dtype="datetime64[us]")
    except ValueError:
        return None
    missing = np.isnat(stamps)
    known = stamps[~missing]
    if len(known) and not (known.min() >= FIRST_STAMP and known.max() < END_STAMP):
        return None
    return Converted(values=pd.DatetimeIndex(stamps).tz_localize("UTC").astype(dtype).array, missing=missing, unfit={})


def _array(values: list[object], dtype: Any, target: _Target) -> Any:
    if target.take is instant:
        # Through NumPy: pandas reads a list of Python's datetimes one by one.
        stamps = [None if value is None else value.replace(tzinfo=None) for value in values]  # type: ignore[attr-defined]
        return pd.DatetimeIndex(np.array(stamps, dtype="datetime64[us]")).tz_localize("UTC").astype(dtype).array
    return pd.array(values, dtype=dtype)


def _decimal(value: int | float | Decimal | str) -> Decimal:
    if isinstance(value, str) and not NUMBER.fullmatch(value.strip()):
        raise Unfit(f"{_shown(value)} is no number")
    try:
        exact = (
            Decimal(repr(value))
            if isinstance(value, float)
            else Decimal(value.strip() if isinstance(value, str) else value)
        )
    except InvalidOperation:
        raise Unfit(f"{_shown(value)} is no number") from None
    if not exact.is_finite():
        raise Unfit(f"{_shown(value)} is no finite number")
    return exact


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise Unfit("it is bytes that are no UTF-8 text") from None
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
