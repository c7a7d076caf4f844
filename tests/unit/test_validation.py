"""The engine: every kind of rule holds and breaks, nothing hides a finding, a naive look at each row says the same."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaErrors
from scipy.stats import ks_2samp

from assets_pkg.quality import rule_groups, validation
from assets_pkg.quality.validation import Context, Outcome, ValidationReport, validate
from assets_pkg.quality.violations import Broken, violations_of
from schemas.base import NullableInt, TableModel, Text, UtcTimestamp, conform
from schemas.model_rules import model_rules
from schemas.rules import (
    Categorical,
    Combination,
    Completeness,
    Contract,
    Distribution,
    Forbidden,
    Freshness,
    NotInFuture,
    Ordered,
    Range,
    RangeBy,
    Reference,
    Repeats,
    Rule,
    Schema,
    Severity,
    SumOf,
    Uniqueness,
)

NOW = datetime(2025, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAN = float("nan")


class Readings(TableModel):
    """Made up."""

    sensor: Text = pa.Field()
    at: UtcTimestamp = pa.Field()
    value: float = pa.Field(nullable=True, ge=0, le=100)
    count: NullableInt = pa.Field(nullable=True, ge=1)
    source_id: int = pa.Field()
    line_no: int = pa.Field()

    class Config:
        unique = ["sensor", "at"]


CONTEXT = Context(now=NOW, until=NOW, identity=("sensor", "at"))


def readings(values: list[float], **columns: Any) -> pd.DataFrame:
    """One sensor by the hour up to `NOW`, unless told otherwise."""
    count = len(values)
    given = {
        "sensor": "a",
        "at": [NOW - HOUR * (count - 1 - n) for n in range(count)],
        "value": values,
        "count": pd.array([1] * count, dtype="Int64"),
        "source_id": 7,
        "line_no": range(1, count + 1),
    }
    return conform(pd.DataFrame(given | columns, index=range(count)), Readings)


def positions(report: ValidationReport, rule: str) -> list[int]:
    """The rows that are told to break the rule."""
    found = report.violations
    return sorted(set(found.loc[found["rule"] == rule, "position"].dropna().astype(int)))


def rule(kind: type[Rule], *columns: str, **parameters: Any) -> Any:
    return kind(name="asked", columns=columns, description="", **parameters)


BEFORE = readings([float(n % 10) + 1 for n in range(60)], at=[NOW - timedelta(days=3) + HOUR * n for n in range(60)])
USERS = {("users", "user_id"): pd.Index(["a", "b"])}
CASES: dict[str, tuple[Rule, pd.DataFrame, pd.DataFrame, list[int]]] = {
    "schema": (
        rule(Schema, *Readings.to_schema().columns, model=Readings),
        readings([1, 2]),
        readings([1, 2]).assign(value=["1.5", "one"]),
        [1],
    ),
    "completeness": (rule(Completeness, "value"), readings([1, 2]), readings([1, NAN]), [1]),
    "uniqueness": (rule(Uniqueness, "sensor", "at"), readings([1, 2]), readings([1, 2, 3], at=[NOW] * 3), [1, 2]),
    "range": (rule(Range, "value", minimum=0, maximum=5), readings([0, 5, NAN]), readings([0, 5.1, -1]), [1, 2]),
    "open range": (
        rule(Range, "value", minimum=0, maximum=5, is_minimum_included=False, is_maximum_included=False),
        readings([0.1, 4.9]),
        readings([0, 1, 5]),
        [0, 2],
    ),
    "range by group": (
        rule(RangeBy, "value", by=("sensor",), bounds=((("a",), (0, 1)), (("b",), (5, 6)))),
        readings([1, 5, 99, NAN], sensor=["a", "b", "c", "a"]),
        readings([5, 1, 99], sensor=["a", "b", "c"]),
        [0, 1],
    ),
    "categorical": (
        rule(Categorical, "sensor", allowed=("a", "b")),
        readings([1, 2], sensor=["a", "b"]),
        readings([1, 2], sensor=["a", "A"]),
        [1],
    ),
    "categorical, several in one cell": (
        rule(Categorical, "sensor", allowed=("a", "b"), separator="|"),
        readings([1, 2], sensor=["a|b", "b"]),
        readings([1, 2, 3], sensor=["a|c", "b", ""]),
        [0, 2],
    ),
    "combination": (
        rule(Combination, "sensor", "value", values=(("a", 1.0), ("b", 2.0))),
        readings([1, 2, NAN], sensor=["a", "b", "a"]),
        readings([2, 2], sensor=["a", "b"]),
        [0],
    ),
    "combination that may not be": (
        rule(Combination, "sensor", "value", values=(("a", 0.0),), is_allowed=False),
        readings([0, 1], sensor=["b", "a"]),
        readings([0, 0], sensor=["a", "b"]),
        [0],
    ),
    "forbidden": (
        rule(Forbidden, "value", values=(-999.0, -9.99)),
        readings([-998, -9.98, NAN]),
        readings([-999.00001, 1, -9.99]),
        [0, 2],
    ),
    "freshness": (rule(Freshness, "at", max_age=HOUR), readings([1]), readings([1], at=[NOW - 2 * HOUR]), [0]),
    "freshness by group": (
        rule(Freshness, "at", max_age=HOUR, by=("sensor",)),
        readings([1, 2], sensor=["a", "b"]),
        readings([1, 2, 3, 4], sensor=["b", "b", "a", "a"]),
        [1],
    ),
    "not in the future": (
        rule(NotInFuture, "at", tolerance=HOUR),
        readings([1], at=[NOW + HOUR]),
        readings([1, 2], at=[NOW, NOW + HOUR + timedelta(seconds=1)]),
        [1],
    ),
    "distribution, scale": (
        rule(Distribution, "value", by=("sensor",), look_back=timedelta(days=7), max_scale=100.0, least_rows=12),
        readings([float(n % 10) + 1 for n in range(24)]),
        readings([(n % 10 + 1) / 1000 for n in range(24)]),
        list(range(24)),
    ),
    "distribution, shape": (
        rule(Distribution, "value", look_back=timedelta(days=7), max_ks=0.5, least_rows=12),
        readings([float(n % 10) + 1 for n in range(24)]),
        readings([11.0 + n % 3 for n in range(24)]),
        list(range(24)),
    ),
    "ordered": (
        rule(Ordered, "count", "value"),
        readings([1, NAN, 3], count=[1, 2, 3]),
        readings([1, 2], count=[2, 2]),
        [0],
    ),
    "ordered, with a tolerance": (
        rule(Ordered, "count", "value", tolerance=1.0),
        readings([1], count=[2]),
        readings([1], count=[3]),
        [0],
    ),
    "sum": (
        rule(SumOf, "value", "source_id", "line_no"),
        readings([8, 9]),
        readings([8, 10]),
        [1],
    ),
    "repeats": (
        rule(Repeats, "value", by=("sensor",), ordered_by=("at",), at_most=2),
        readings([1, 1, 2, 1, NAN, NAN, NAN], sensor=["a"] * 7),
        readings(
            [1, 2, 1, 2, 2, 3], sensor=["a", "b", "a", "b", "a", "a"], at=[NOW + HOUR * n for n in range(6)]
        ).assign(value=[5.0, 2.0, 5.0, 2.0, 5.0, 3.0]),
        [0, 2, 4],
    ),
    "reference": (
        rule(Reference, "sensor", table="users", key="user_id"),
        readings([1, 2], sensor=["a", "b"]),
        readings([1, 2], sensor=["a", "c"]),
        [1],
    ),
    "reference, several in one cell": (
        rule(Reference, "sensor", table="users", key="user_id", separator="|"),
        readings([1], sensor=["a|b"]),
        readings([1, 2], sensor=["a|c", "b"]),
        [0],
    ),
    "a check of the model": (
        rule(Contract, "value", check=pa.Check(lambda values: values % 2 == 0)),
        readings([2, 4, NAN]),
        readings([2, 3]),
        [1],
    ),
    "a check of the frame": (
        rule(Contract, "value", "count", check=pa.Check(lambda f: f["value"] > f["count"]), is_of_frame=True),
        readings([2, 4]),
        readings([2, 1]),
        [1],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_rule_holds_and_breaks(case: str) -> None:
    asked, sound, bad, expected = CASES[case]
    context = Context(now=NOW, until=NOW, known=USERS, before=BEFORE, time_column="at", identity=("sensor", "at"))
    kept = validate(sound, [asked], context)
    assert kept.of("asked").outcome is Outcome.PASSED, kept.of("asked").message
    assert kept.of("asked").checked == len(sound) and kept.of("asked").failed == 0 and kept.violations.empty
    broken = validate(bad, [asked], context)
    assert broken.of("asked").outcome is Outcome.FAILED and broken.is_blocking
    assert positions(broken, "asked") == expected
    assert broken.of("asked").failed == len(expected)


@pytest.mark.parametrize("case", CASES)
def test_batches_make_no_difference(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _, bad, expected = CASES[case]
    monkeypatch.setattr(validation, "BATCH_ROWS", 2)
    context = Context(now=NOW, until=NOW, known=USERS, before=BEFORE, time_column="at")
    assert positions(validate(bad, [asked], context), "asked") == expected


def test_a_violation_says_rule_row_column_value_and_origin() -> None:
    report = validate(readings([1, 101.5]), model_rules(Readings), CONTEXT)
    (told,) = report.violations.to_dict("records")
    assert told["rule"] == "between_0_and_100" and told["severity"] == "error"
    assert (told["column_name"], told["value"]) == ("value", "101.5")
    assert (told["source_id"], told["line_no"], told["position"]) == (7, 2, 1)
    assert json.loads(told["row_key"]) == {"sensor": "a", "at": "2025-03-02T00:00:00.000000Z"}


def test_keys_and_values_are_spelled_as_json_whatever_they_hold() -> None:
    told = ['say "µ"/\\', None, "x"], [np.inf, np.nan, 0.1 + 0.2], [2**62 + 1, None, 3], [True, None, False]
    stamps = pd.to_datetime(["2025-03-02T00:00:00.000001Z", None, "1969-12-31T23:59:59.000000Z"], utc=True).as_unit(
        "us"
    )
    columns = dict(
        zip(
            "abcd",
            (
                *(
                    pd.array(one, dtype=kind)
                    for one, kind in zip(told, ("object", "float64", "Int64", "boolean"), strict=True)
                ),
            ),
            strict=True,
        )
    )
    rows = pd.DataFrame(columns | {"e": stamps})
    found = violations_of(
        Broken(columns=("a", "b"), positions=np.arange(3)), rows, rows, rule(Ordered, "a", "b"), ("c", "d", "e")
    )
    assert [json.loads(one) for one in found["value"]] == [
        {"a": 'say "µ"/\\', "b": "inf"},
        {"a": None, "b": None},
        {"a": "x", "b": 0.1 + 0.2},
    ]
    assert [json.loads(one) for one in found["row_key"]] == [
        {"c": 2**62 + 1, "d": True, "e": "2025-03-02T00:00:00.000001Z"},
        {"c": None, "d": None, "e": None},
        {"c": 3, "d": False, "e": "1969-12-31T23:59:59.000000Z"},
    ]


WHOLE = st.sampled_from([-(2**63), -(2**62), -1, 0, 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1])


@given(st.lists(st.tuples(WHOLE, WHOLE, st.sampled_from([0, 1, 2**50])), max_size=30))
def test_repeated_keys_are_those_that_pandas_finds(keys: list[tuple[int, int, int]]) -> None:
    rows = pd.DataFrame(keys, columns=["one", "two", "at"]).astype("int64")
    rows["at"] = pd.to_datetime(rows["at"], unit="us", utc=True).astype("datetime64[us, UTC]")
    rows["text"] = pd.array([None if one == 0 else f"t{one}" for one, *_ in keys], dtype=pd.StringDtype("pyarrow"))
    for columns in (["one"], ["at"], ["one", "at"], ["one", "two", "at"], ["text", "at"]):
        found = rule_groups.repeated(rule(Uniqueness, *columns), rows).broken
        assert list(found) == list(np.flatnonzero(rows.duplicated(columns)))


def test_only_an_error_blocks_and_what_is_tolerated_does_not() -> None:
    frame = readings([NAN, 1, 1, 1])
    for severity in Severity:
        report = validate(frame, [rule(Completeness, "value", severity=severity)], CONTEXT)
        assert report.is_blocking == (severity is Severity.ERROR)
        assert len(report.failed(severity)) == 1 and len(report.violations) == 1
    for tolerated, outcome in ((25.0, Outcome.PASSED), (24.0, Outcome.FAILED)):
        report = validate(frame, [rule(Completeness, "value", tolerated_pct=tolerated)], CONTEXT)
        assert report.of("asked").outcome is outcome and report.of("asked").failed == 1


def test_a_rule_is_about_the_rows_it_names() -> None:
    frame = readings([NAN, 1, NAN], sensor=["a", "b", "b"])
    for asked in (
        rule(Completeness, "value", when=(("sensor", ("b",)),)),
        rule(Freshness, "at", max_age=timedelta(0), when=(("sensor", ("a",)),)),
    ):
        report = validate(frame, [asked], CONTEXT)
        assert positions(report, "asked") == ([2] if isinstance(asked, Completeness) else [0])


def test_too_little_is_an_answer_of_its_own_and_blocks_nothing() -> None:
    shape: Callable[..., Rule] = lambda **told: rule(Distribution, "value", look_back=HOUR, least_rows=12, **told)  # noqa: E731
    undecided = [
        validate(readings([1, 2]), [rule(Range, "value", maximum=0, least_rows=3)], CONTEXT),
        validate(readings([1.0] * 20), [shape()], CONTEXT),
        validate(readings([1.0] * 20), [shape()], Context(now=NOW, before=readings([1.0] * 5))),
        validate(readings([1, 2]), [rule(Reference, "sensor", table="users", key="user_id")], CONTEXT),
        validate(readings([]), [rule(Freshness, "at", max_age=HOUR)], CONTEXT),
        validate(readings([1]).drop(columns="value"), [rule(Completeness, "value")], CONTEXT),
    ]
    for report in undecided:
        assert report.of("asked").outcome is Outcome.NOT_ENOUGH_DATA and report.of("asked").message
        assert report.of("asked").passed and not report.is_blocking and report.violations.empty


@pytest.mark.parametrize(
    "asked",
    [
        rule(Freshness, "at", max_age=-timedelta(days=999)),  # nothing is as new
        rule(Repeats, "value", by=("sensor",), ordered_by=("at",), at_most=1),
    ],
    ids=lambda one: type(one).__name__,
)
def test_of_a_sample_nobody_knows_what_is_newest_or_what_follows_what(asked: Rule) -> None:
    rows = readings([1.0, 1.0, 1.0])
    whole, part = (validate(rows, [asked], Context(now=NOW, until=NOW, is_sample=one)) for one in (False, True))
    assert whole.of("asked").outcome is Outcome.FAILED
    assert part.of("asked").outcome is Outcome.NOT_ENOUGH_DATA and part.violations.empty


def test_many_rows_alone_are_no_shift() -> None:
    """A shift of a hundredth of a deviation is beyond doubt with 200,000 rows, and nobody's business."""
    draw = np.random.default_rng(1)
    before, now = readings(list(draw.normal(50, 10, 200_000))), readings(list(draw.normal(50.1, 10, 200_000)))
    asked = rule(Distribution, "value", look_back=timedelta(days=9999), max_ks=0.2, least_rows=12)
    assert validate(now, [asked], Context(now=NOW, before=before)).of("asked").outcome is Outcome.PASSED


@given(st.lists(st.integers(0, 9), min_size=20, max_size=60), st.lists(st.integers(0, 9), min_size=20, max_size=60))
def test_the_difference_of_two_distributions_is_that_of_scipy(first: list[int], second: list[int]) -> None:
    sorted_ones = [np.sort(np.array(one, dtype=float)) for one in (first, second)]
    statistic, p_value = rule_groups._kolmogorov_smirnov(*sorted_ones)
    expected = ks_2samp(first, second, method="asymp")
    assert statistic == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(expected.pvalue, abs=0.12), "scipy corrects the limit for small samples"


def test_a_cell_that_cannot_be_converted_hides_no_value_out_of_range_in_its_column() -> None:
    frame = readings([1, 2, 3, 4]).assign(value=["abc", "500", "7", "-3"])
    with pytest.raises(SchemaErrors) as raised:
        pa.DataFrameSchema({"value": pa.Column(float, pa.Check.in_range(0, 100), coerce=True)}).validate(
            frame[["value"]], lazy=True
        )
    assert set(raised.value.failure_cases["failure_case"].astype(str)) & {"500.0", "-3.0"} == set()
    report = validate(frame, model_rules(Readings), CONTEXT)
    assert positions(report, "schema") == [0]
    assert positions(report, "between_0_and_100") == [1, 3]
    assert list(report.violations.query("rule == 'schema'")["value"]) == ["abc"]


def test_rows_that_share_a_label_are_told_apart() -> None:
    frame = readings([1, 500, 3, 4])
    frame.index = pd.Index([0, 0, 1, 1])
    report = validate(frame, model_rules(Readings), CONTEXT)
    assert positions(report, "between_0_and_100") == [1] and report.of("between_0_and_100").failed == 1
    assert list(report.violations["line_no"]) == [2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.drop(columns="value"), "columns missing: value"),
        (lambda f: f.assign(more=1), "columns unknown: more"),
        (lambda f: f[["at", "sensor", *f.columns[2:]]], "columns in another order"),
    ],
)
def test_a_missing_an_unknown_and_a_misplaced_column_break_the_schema(change: Callable[..., Any], told: str) -> None:
    report = validate(change(readings([1])), model_rules(Readings), CONTEXT)
    assert [one.rule.name for one in report.failed()] == ["schema"]
    assert told in report.of("schema").message and report.is_blocking


@pytest.mark.parametrize(
    ("column", "cells", "bad"),
    [
        ("count", ["9007199254740993", "1.5", "x", None], [1, 2]),
        ("count", [1.0, 1.5, NAN, 2.0], [1]),
        ("count", [True, 1, None, "2"], [0]),
        ("at", ["2025-03-01T00:00:00Z", "2025-03-01", None, "2025-03-01T02:00:00+05:30"], [1]),
        ("sensor", ["a", 1, None, "b"], [1]),
        ("value", [1, "1e1", "nan?", None], [2]),
    ],
)
def test_cells_are_converted_one_by_one_and_exactly(column: str, cells: list[object], bad: list[int]) -> None:
    frame = readings([1, 2, 3, 4]).assign(**{column: pd.Series(cells, dtype=object)})
    report = validate(frame, model_rules(Readings), CONTEXT)
    assert positions(report, "schema") == bad
    missing = [n for n, cell in enumerate(cells) if cell is None or cell != cell]
    assert positions(report, "required") == (missing if column in ("at", "sensor") else [])


def test_the_model_and_its_rules_say_the_same() -> None:
    for values in ([1, 2], [1, -1], [101, NAN]):
        frame = readings(list(map(float, values)))
        report = validate(frame, model_rules(Readings), CONTEXT)
        try:
            Readings.validate(frame, lazy=True)
            failing = set()
        except SchemaErrors as errors:
            failing = set(errors.failure_cases["index"].astype(int))
        assert set(report.violations["position"]) == failing


number = st.one_of(st.none(), st.floats(-20, 120, allow_nan=False), st.sampled_from([0.0, 100.0, 5.0, -999.0]))
row = st.fixed_dictionaries(
    {
        "sensor": st.sampled_from(["a", "b", "c", "a|b", "b|x"]),
        "hours": st.integers(-5, 5),
        "value": number,
        "count": st.one_of(st.none(), st.integers(-2, 9)),
    }
)


def naive(asked: Rule, rows: list[dict[str, Any]]) -> list[int]:
    """Row by row, as one would by hand."""

    def breaks(n: int, one: dict[str, Any]) -> bool:
        value, sensor = one["value"], one["sensor"]
        match asked:
            case Completeness():
                return value is None
            case Uniqueness():
                return any((o["sensor"], o["at"]) == (sensor, one["at"]) for o in rows[:n])
            case Range():
                return value is not None and not 0 <= value <= 100
            case RangeBy():
                low, high = dict(asked.bounds).get((sensor,), (-np.inf, np.inf))
                return value is not None and not low <= value <= high
            case Categorical() | Reference():
                return any(part not in ("a", "b") for part in sensor.split("|"))
            case Combination():
                return value is not None and (sensor, value) not in asked.values
            case Forbidden():
                return value is not None and abs(value + 999) < 1e-3
            case NotInFuture():
                return bool(one["at"] > NOW + asked.tolerance)
            case Ordered():
                return None not in (value, one["count"]) and value < one["count"]
            case Freshness():
                newest = max(o["at"] for o in rows if o["sensor"] == sensor)
                first = next(m for m, o in enumerate(rows) if (o["sensor"], o["at"]) == (sensor, newest))
                return n == first and min(NOW, NOW) - newest > asked.max_age
            case Repeats():
                return n in _runs(rows, asked.at_most)
        raise AssertionError

    return [n for n, one in enumerate(rows) if breaks(n, one)]


def _runs(rows: list[dict[str, Any]], at_most: int) -> set[int]:
    found: set[int] = set()
    for sensor in {one["sensor"] for one in rows}:
        own = sorted((n for n, one in enumerate(rows) if one["sensor"] == sensor), key=lambda n: rows[n]["at"])
        run: list[int] = []
        for n in [*own, None]:
            if run and n is not None and rows[n]["value"] is not None and rows[n]["value"] == rows[run[-1]]["value"]:
                run.append(n)
                continue
            found |= set(run) if len(run) > at_most else set()
            run = [n] if n is not None else []
    return found


ASKED = [
    rule(Completeness, "value"),
    rule(Uniqueness, "sensor", "at"),
    rule(Range, "value", minimum=0, maximum=100),
    rule(RangeBy, "value", by=("sensor",), bounds=((("a",), (0, 5)), (("a|b",), (-999, 5)))),
    rule(Categorical, "sensor", allowed=("a", "b"), separator="|"),
    rule(Combination, "sensor", "value", values=(("a", 0.0), ("b", 5.0))),
    rule(Forbidden, "value", values=(-999.0,)),
    rule(NotInFuture, "at", tolerance=HOUR),
    rule(Ordered, "count", "value"),
    rule(Freshness, "at", by=("sensor",), max_age=HOUR),
    rule(Repeats, "value", by=("sensor",), ordered_by=("at",), at_most=1),
    rule(Reference, "sensor", table="users", key="user_id", separator="|"),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda one: type(one).__name__)
@given(rows=st.lists(row, max_size=12))
def test_a_naive_look_at_every_row_says_the_same(asked: Rule, rows: list[dict[str, Any]]) -> None:
    rows = [one | {"at": NOW + HOUR * one["hours"]} for one in rows]
    frame = readings(
        [NAN if one["value"] is None else one["value"] for one in rows],
        sensor=[one["sensor"] for one in rows],
        at=[one["at"] for one in rows],
        count=pd.array([one["count"] for one in rows], dtype="Int64"),
    )
    report = validate(frame, [asked], Context(now=NOW, until=NOW, known=USERS))
    expected = naive(asked, rows)
    if rows:
        assert report.of("asked").failed == len(expected)
        assert positions(report, "asked") == expected
