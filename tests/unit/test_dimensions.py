"""Dimensions and the score: each has a flaw that lowers it and no other, and what is not measured does not count."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_pkg.quality.dimensions import LEDGER_COUNTS, quality_rows, score
from resources.profiling.measures import MEASURES
from schemas.quality_dimensions import DIMENSION_OF, WEIGHTS, Dimension, Judged
from schemas.rules import Kind
from schemas.tables import TABLES

DAY = date(2026, 3, 1)
KNOWN_AT = datetime(2026, 3, 2, tzinfo=UTC)
MODEL = TABLES["quality.openaq_timeseries"].model
JUDGED = Judged(
    table="timeseries.air_quality", filled=("value",), entities=("sensors_id",), per_day=10, valid="is_valid"
)
SOUND = dict.fromkeys(MEASURES, 0) | {
    **{"rows": 100, "cells_filled": 100, "values": 100, "values_valid": 100, "entities": 10, "entities_expected": 10},
    **{"timely": 100, "timely_of": 100, "twins": 20, "twins_agree": 20},
}
ACCOUNT = {"read": 100, "loaded": 100, "duplicate": 0, "quarantined": 0, "filtered": 0}
VERDICT = {"day": DAY, "kind": "range", "severity": "error", "passed": False, "checked": 100, "failed": 20}
PROFILE = {"kind": "number", "rows": 100, "nulls": 0, "nans": 0, "infinities": 0}


def judged(
    counts: dict[str, int] | None = None,
    account: dict[str, int] | None = None,
    agreements: tuple[tuple[int, int], ...] = ((100, 100), (50, 50)),
    profile: dict[str, Any] | None = None,
    judged: Judged = JUDGED,
    verdicts: tuple[dict[str, Any], ...] = (),
) -> pd.Series:
    """The row of a day that is sound but for what is given."""
    days = [DAY]
    rows = quality_rows(
        judged,
        counts=pd.DataFrame([SOUND | (counts or {})], index=pd.Index(days, name="day")).assign(
            known_at=stamp(KNOWN_AT)
        ),
        agreements=pd.DataFrame(
            [(DAY, f"rule {n}", *pair) for n, pair in enumerate(agreements)], columns=["day", "rule", "asked", "agree"]
        ),
        accounts=pd.DataFrame(
            [{"table_name": judged.table, "day": DAY, **ACCOUNT, **(account or {}), "known_at": stamp(KNOWN_AT)}]
        ),
        profiles=pd.DataFrame([{"day": DAY, **PROFILE, **(profile or {})}]),
        verdicts=pd.DataFrame([VERDICT | one for one in verdicts], columns=list(VERDICT)),
        model=MODEL,
    )
    MODEL.validate(rows)
    (row,) = (one for _, one in rows.iterrows())
    return row


@pytest.mark.parametrize(("kind", "dimension"), [(kind, DIMENSION_OF[kind]) for kind in Kind])
def test_a_broken_rule_lowers_the_dimension_of_its_kind_and_no_other(kind: Kind, dimension: Dimension) -> None:
    row = judged(verdicts=({"kind": kind.value}, {"kind": kind.value, "failed": 5}, {"failed": 90, "passed": True}))
    assert shares(row) == {one.value: 80.0 if one is dimension else 100.0 for one in Dimension}
    assert row["score_pct"] == pytest.approx(100 - 20 * WEIGHTS[dimension])


@pytest.mark.parametrize(
    ("verdict", "validity"),
    [
        ({"severity": "warning"}, 80.0),
        ({"severity": "info"}, 90.0),
        ({"failed": 0}, 0.0),
        ({"failed": 5}, 90.0),
        ({"passed": True}, 90.0),
    ],
)
def test_what_a_measure_and_a_rule_both_find_counts_once(verdict: dict[str, Any], validity: float) -> None:
    assert judged(counts={"values_valid": 90}, verdicts=(verdict,))["validity_pct"] == pytest.approx(validity)


def test_a_rule_that_fails_is_a_measure_where_there_is_none() -> None:
    silent = {"timely": 0, "timely_of": 0}
    assert np.isnan(judged(counts=silent)["timeliness_pct"])
    assert judged(counts=silent, verdicts=({"kind": "freshness", "failed": 40},))["timeliness_pct"] == 60.0


def stamp(at: datetime) -> pd.Timestamp:
    return pd.Timestamp(at).as_unit("us")


def shares(row: pd.Series) -> dict[str, float]:
    return {one.value: row[f"{one.value}_pct"] for one in Dimension}


def test_a_sound_day_is_perfect_in_everything() -> None:
    row = judged()
    assert set(shares(row).values()) == {100.0}
    assert (row["score_pct"], row["dimensions"], row["is_ledger_closed"]) == (100.0, 6, True)
    assert row["known_at"] == stamp(KNOWN_AT)


@pytest.mark.parametrize(
    ("dimension", "flaw", "share"),
    [
        ("completeness", {"counts": {"cells_filled": 75}}, 75.0),
        ("completeness", {"counts": {"entities_expected": 20}}, 50.0),
        ("validity", {"counts": {"values_valid": 90}}, 90.0),
        ("validity", {"account": {"loaded": 80, "quarantined": 20}}, 80.0),
        ("validity", {"counts": {"bad_rows": 10}}, 90.0),
        ("validity", {"profile": {"infinities": 3, "nans": 2}}, 95.0),
        ("uniqueness", {"account": {"loaded": 95, "duplicate": 5}}, 95.0),
        ("uniqueness", {"counts": {"repeated": 7}}, 93.0),
        ("consistency", {"agreements": ((100, 80), (50, 50))}, 90.0),
        ("timeliness", {"counts": {"timely": 40}}, 40.0),
        ("accuracy", {"counts": {"twins_agree": 15}}, 75.0),
    ],
)
def test_a_flaw_lowers_its_dimension_and_no_other(dimension: str, flaw: dict[str, Any], share: float) -> None:
    row = judged(**flaw)
    assert shares(row) == pytest.approx(dict.fromkeys(shares(row), 100.0) | {dimension: share})
    assert row["score_pct"] == pytest.approx(100 - WEIGHTS[Dimension(dimension)] * (100 - share))
    assert row["is_ledger_closed"]


def test_what_is_not_measured_is_null_and_its_weight_goes_to_the_others() -> None:
    row = judged(counts={"twins": 0, "twins_agree": 0, "timely": 0, "timely_of": 0, "cells_filled": 50})
    assert pd.isna(row["accuracy_pct"])
    assert pd.isna(row["timeliness_pct"])
    assert row["dimensions"] == 4
    others = sum(WEIGHTS[one] for one in Dimension if one not in (Dimension.ACCURACY, Dimension.TIMELINESS))
    assert row["score_pct"] == pytest.approx(100 - 50 * WEIGHTS[Dimension.COMPLETENESS] / others)


def test_a_day_on_which_everybody_is_missing_scores_nothing() -> None:
    row = judged(
        counts=dict.fromkeys(MEASURES, 0) | {"entities_expected": 10},
        account=dict.fromkeys(LEDGER_COUNTS, 0),
        agreements=(),
        profile={"rows": 0},
    )
    assert row["completeness_pct"] == row["score_pct"] == 0.0
    assert row["dimensions"] == 1


def test_a_day_on_which_nothing_is_expected_and_nothing_is_there_has_no_score() -> None:
    row = judged(
        counts=dict.fromkeys(MEASURES, 0), account=dict.fromkeys(LEDGER_COUNTS, 0), agreements=(), profile={"rows": 0}
    )
    assert pd.isna(row["score_pct"])
    assert row["dimensions"] == 0


def test_a_table_without_a_number_of_rows_per_day_counts_entities() -> None:
    few = Judged(table=JUDGED.table, filled=("value",), entities=("sensors_id",))
    assert judged(counts={"entities": 4}, judged=few)["completeness_pct"] == pytest.approx(40.0)
    nobody = Judged(table=JUDGED.table, filled=("value",))
    assert judged(counts={"entities": 0, "entities_expected": 0}, judged=nobody)["completeness_pct"] == 100.0


def test_more_rows_than_expected_are_no_more_than_complete() -> None:
    assert judged(counts={"rows": 300, "cells_filled": 300})["completeness_pct"] == 100.0


def test_a_ledger_that_does_not_add_up_is_open() -> None:
    assert not judged(account={"loaded": 90})["is_ledger_closed"]


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=6, max_size=6))
def test_a_score_lies_between_its_worst_and_its_best_dimension(values: list[float | None]) -> None:
    percents = pd.DataFrame([dict(zip(Dimension, values, strict=True))], dtype="float64")
    (found,) = score(percents)
    known = [value for value in values if value is not None]
    if not known:
        assert np.isnan(found)
    else:
        assert min(known) - 1e-9 <= found <= max(known) + 1e-9


def test_the_weights_are_a_whole() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert set(WEIGHTS) == set(Dimension)
