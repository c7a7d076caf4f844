"""What one JSON record says: its cells as exact text, and the rows of records nested in it.

Belongs here: decoding, flattening, exploding. Does not belong here: finding the records of a file
(`json_scanner.py`, `json_documents.py`).

Names of columns: a nested object's fields are joined by dots (`location.lat`). Where records nested in lists are
exploded, the fields of the innermost record keep their own names, and those of a record around it start with the keys
that lead to it (`sites.site_id`, `sites.meters.meter_id`); one that no key leads to, as in JSON lines, is called `[]`
(`[].site_id`). Until the header is written a column is known by its path joined by NUL, which no key holds,
so that `{"a.b": 1}` and `{"a": {"b": 1}}` remain two columns, though of one name.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resources.landing.readers.json_scanner import UP_TO_BRACKET, RawValue

NO_OBJECT = "the record is no JSON object, so its values have no names"

ELEMENTS = "[]"
"""Marks in a path that every element of a list is meant."""

OUTER = "\ud800"
"""Starts the ids of columns of outer records; no key can hold it."""


class RecordRefused(ValueError):
    """A record is put aside; `rule` is the short name of what it breaks."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


class Literal(str):
    """A number (or NaN, Infinity) exactly as it is written."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row by the ids of their columns."""

    cells: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Refused:
    """A nested record that is put aside."""

    raw: str
    rule: str
    reason: str


def nesting(text: str) -> int:
    """How deep a text is nested, be it well formed or not."""
    if text.count("{") + text.count("[") < 2:
        return 1
    depth = deepest = at = 0
    while (found := UP_TO_BRACKET.match(text, at)) and found.end() < len(text) and text[found.end()] != '"':
        at = found.end() + 1
        depth += 1 if text[at - 1] in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


def decode(raw: RawValue, depth_limit: int) -> dict[str, Any]:
    """The record a raw value is.

    Raises:
        RecordRefused: `record_too_large`, `too_deep`, `nul`, `undecodable`, `malformed_record`, `duplicate_key` or
            `not_an_object`.
    """
    if raw.oversized:
        raise RecordRefused("record_too_large", "the record is longer than may be held in memory")
    if raw.depth > depth_limit:
        raise RecordRefused("too_deep", f"the record is {raw.depth} levels deep, {depth_limit} are allowed")
    if "\0" in raw.text:
        raise RecordRefused("nul", "the record holds a NUL byte")
    if not raw.text.isascii():
        _require_characters(raw.text)
    try:
        value = DECODER.decode(raw.text)
    except json.JSONDecodeError as error:
        raise RecordRefused("malformed_record", f"no JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(value, dict):
        raise RecordRefused("not_an_object", NO_OBJECT)
    if "\\u" in raw.text:
        for text in _texts(value):
            _require_characters(text)
    return value


def flatten(record: dict[str, Any], start: str = "") -> dict[str, str | None]:
    """The cells of a record: text as it is, numbers as written, `true` and `false`, null as None, lists as JSON text.

    An empty object is a cell `{}`, so that it is not lost.
    """
    cells: dict[str, str | None] = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            cells.update(flatten(value, f"{start}{key}\0"))
        else:
            cells[start + key] = _cell(value)
    return cells


class Exploder:
    """Makes one row per innermost record, with the scalar fields of all records around it; see above for their names.

    `path` leads from a value at the top to the records, e.g. `("[]", "meters", "[]", "readings", "[]")`. The first
    `"[]"` says that what is at the top is itself a record; without it that is a wrapper whose fields are no columns.
    `prefix` are the keys that led to the value at the top. Lists beside the way are not repeated on every row;
    `left_out` holds their names.
    """

    def __init__(self, path: tuple[str, ...], prefix: tuple[str, ...] = ()) -> None:
        self._steps = _steps(path)
        self._prefix = prefix
        self._wrapped = path[:1] != (ELEMENTS,)
        self.left_out: set[str] = set()

    def rows(self, top: dict[str, Any]) -> Iterator[Row | Refused]:
        """A record without the list, or with an empty one, is refused (`no_records`): no row would show it."""
        if not (self._wrapped and self._steps):
            yield from self._rows(top, self._steps, self._prefix, {})
            return
        elements = _at(top, self._steps[0])
        if not isinstance(elements, list):
            yield _without_records(top, self._steps[0])
            return
        for element in elements:
            yield from self._rows(element, self._steps[1:], (*self._prefix, *self._steps[0]), {})

    def _rows(
        self, value: Any, steps: list[tuple[str, ...]], prefix: tuple[str, ...], outer: dict[str, str | None]
    ) -> Iterator[Row | Refused]:
        if not isinstance(value, dict):
            yield Refused(json_text(value), "not_an_object", NO_OBJECT)
            return
        if not steps:
            yield Row(outer | flatten(value))
            return
        elements = _at(value, steps[0])
        if not isinstance(elements, list) or not elements:
            yield _without_records(value, steps[0])
            return
        start = OUTER + "".join(f"{key}\0" for key in prefix or (ELEMENTS,))
        around = outer | flatten(self._scalars(value, (), steps[0], prefix), start)
        for element in elements:
            yield from self._rows(element, steps[1:], (*prefix, *steps[0]), around)

    def _scalars(
        self, record: dict[str, Any], way: tuple[str, ...], child: tuple[str, ...], prefix: tuple[str, ...]
    ) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in record.items():
            here = (*way, key)
            if isinstance(value, dict) and value:
                kept[key] = self._scalars(value, here, child, prefix)
            elif not isinstance(value, list):
                kept[key] = value
            elif here != child:
                self.left_out.add(".".join((*prefix, *here)))
        return {key: value for key, value in kept.items() if value != {} or record[key] == {}}


def column_name(column: str) -> str:
    """What the header calls the column with this id."""
    return column.removeprefix(OUTER).replace("\0", ".")


def json_text(value: Any) -> str:
    """A decoded value as JSON text, with its numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {json_text(element)}" for key, element in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    if isinstance(value, Literal):
        return str(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _without_records(record: dict[str, Any], way: tuple[str, ...]) -> Refused:
    return Refused(json_text(record), "no_records", f"the record holds no list {'.'.join(way)!r} of records")


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    return str(value) if isinstance(value, str) else json_text(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise RecordRefused("duplicate_key", f"the key {twice[:100]!r} stands twice in one object")
    return made


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, element in value.items():
            yield key
            yield from _texts(element)
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element)


def _require_characters(text: str) -> None:
    if "\0" in text:
        raise RecordRefused("nul", "the record holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecordRefused(
            "undecodable", f"character {error.start + 1} is no character: bytes of another encoding, or half a pair"
        ) from error


def _steps(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The keys between two marks: `("a", "b", "[]", "c", "[]")` is `[("a", "b"), ("c",)]`, as without the last mark."""
    steps: list[tuple[str, ...]] = [()]
    for part in path:
        if part == ELEMENTS:
            steps.append(())
        else:
            steps[-1] = (*steps[-1], part)
    return [step for step in steps if step]


def _at(record: dict[str, Any], way: tuple[str, ...]) -> Any:
    value: Any = record
    for key in way:
        value = value.get(key) if isinstance(value, dict) else None
    return value


DECODER = json.JSONDecoder(parse_int=Literal, parse_float=Literal, parse_constant=Literal, object_pairs_hook=_object)
